"""Counters of energy, in a folder that is laid out as Linux lays out /sys/class/powercap."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.engine.training import energy
from bench.engine.training.energy import Energy, packages

RANGE = 262_143_328_850
"""Microjoules, of an Intel server."""


class Powercap:
    """Folder of zones, each a link to its device as in the kernel's; `elapse` moves the clock."""

    def __init__(self, folder: Path) -> None:
        self.devices, self.root = folder / "devices" / "intel-rapl", folder / "class"
        self.root.mkdir(parents=True)
        self.devices.mkdir(parents=True)
        (self.root / "intel-rapl").symlink_to(self.devices)
        self.seconds = 1e6

    def zone(self, name: str, kind: str, counter: int) -> None:
        """Add a zone; one within another has its number and one more."""
        _, first, *inner = name.split(":")
        device = self.devices / (f"intel-rapl:{first}/{name}" if inner else name)
        device.mkdir(parents=True)
        (device / "name").write_text(f"{kind}\n")
        (device / "max_energy_range_uj").write_text(f"{RANGE}\n")
        (device / "energy_uj").write_text(f"{counter}\n")
        (self.root / name).symlink_to(device)

    def elapse(self, seconds: float, **counters: int) -> None:
        """Let time go by; counters of `package-N` by `_N`."""
        self.seconds += seconds
        for name, counter in counters.items():
            (self.root / f"intel-rapl:{name[1:]}" / "energy_uj").write_text(f"{counter}\n")


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Powercap:
    """Two processors with cores and memory, the platform that holds them, and a second way to the first."""
    found = Powercap(tmp_path)
    found.zone("intel-rapl:0", "package-0", 5_000_000)
    found.zone("intel-rapl:0:0", "core", 1_000_000)
    found.zone("intel-rapl:0:1", "dram", 2_000_000)
    found.zone("intel-rapl:1", "package-1", RANGE - 3_000_000)
    found.zone("intel-rapl:2", "psys", 9_000_000)
    found.zone("intel-rapl-mmio:0", "package-0", 5_000_000)
    monkeypatch.setattr(energy, "monotonic", lambda: found.seconds)
    monkeypatch.setattr(energy, "ROOT", found.root)
    return found


def test_processors_are_counted_once(powercap: Powercap) -> None:
    assert len(packages()) == 2
    meter = Energy(torch.device("cpu"))
    powercap.elapse(10, _0=7_500_000, _1=RANGE - 1_000_000, _2=99_000_000)
    assert meter.read() == pytest.approx(2.5 + 2.0)


def test_a_counter_begins_anew(powercap: Powercap) -> None:
    """3 J to the end of its range and 4 J from the beginning; another time before the next look."""
    meter = Energy(torch.device("cpu"))
    powercap.elapse(10, _1=4_000_000)
    meter.poll()
    powercap.elapse(200, _1=RANGE - 1_000_000)
    meter.poll()
    powercap.elapse(10, _1=500_000)
    assert meter.read() == pytest.approx(7.0 + (RANGE / 1e6 - 5.0) + 1.5)


def test_what_was_not_looked_at_for_long_is_not_known(powercap: Powercap) -> None:
    """At 1,000 W the range is through after 262 s: how often it was cannot be said."""
    meter = Energy(torch.device("cpu"))
    powercap.elapse(262, _0=6_000_000)
    assert meter.read() == pytest.approx(1.0)
    powercap.elapse(263, _0=7_000_000)
    assert meter.read() is None
    powercap.elapse(1, _0=8_000_000)
    assert meter.read() is None, "nor is the sum from then on"
    assert Energy(torch.device("cpu")).read() == 0.0


def test_polls_are_seldom(powercap: Powercap) -> None:
    """Steps may come by the thousand."""
    meter = Energy(torch.device("cpu"))
    (powercap.root / "intel-rapl:0" / "energy_uj").unlink()
    powercap.elapse(4)
    meter.poll()
    powercap.elapse(0, _0=6_000_000)
    assert meter.read() == pytest.approx(1.0)


def test_a_counter_that_only_root_may_read(powercap: Powercap) -> None:
    """As of Linux 5.10: nothing is better than a part."""
    counter = powercap.root / "intel-rapl:1" / "energy_uj"
    counter.unlink()
    counter.mkdir()  # Cannot be read by root either, who runs these tests in a container.
    assert packages() == []
    assert Energy(torch.device("cpu")).read() is None


def test_a_counter_that_goes_away(powercap: Powercap) -> None:
    meter = Energy(torch.device("cpu"))
    (powercap.root / "intel-rapl:1" / "energy_uj").unlink()
    powercap.elapse(10, _0=6_000_000)
    assert meter.read() is None


def test_no_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "ROOT", tmp_path / "nothing")
    assert Energy(torch.device("cpu")).read() is None
