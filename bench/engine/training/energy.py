"""Energy that a machine took, in joules, where it has a counter."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import torch

ROOT = Path("/sys/class/powercap")
MOST = 1000.0
"""Watts that no processor takes: a counter that was not read for longer may have begun anew unseen."""
OFTEN = 5.0
"""Seconds between two readings, at least."""


class Energy:
    """Energy since the beginning, whatever else the machine did meanwhile.

    Of processors by Linux' powercap, of an NVIDIA device by NVML, which the package `nvidia-ml-py` reads.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._packages = [] if device.type == "cuda" else packages()
        self._before = self._nvml()
        self._when = monotonic()

    def poll(self) -> None:
        """Read the counters of processors, which is often enough if called more than once a minute."""
        if self._packages and monotonic() - self._when > OFTEN:
            self._when = monotonic()
            for package in self._packages:
                package.poll()

    def read(self) -> float | None:
        """Joules; None where nothing says so, or a counter may have begun anew unseen."""
        if self._device.type == "cuda":
            after = self._nvml()
            return None if self._before is None or after is None else after - self._before
        found = [package.read() for package in self._packages]
        known = [joules for joules in found if joules is not None]
        return sum(known) if found and len(known) == len(found) else None

    def _nvml(self) -> float | None:
        if self._device.type != "cuda":
            return None
        try:
            import pynvml
        except ImportError:
            return None
        try:
            pynvml.nvmlInit()
            identity = str(torch.cuda.get_device_properties(self._device).uuid)
            name = identity if identity.startswith("GPU-") else f"GPU-{identity}"
            handle = pynvml.nvmlDeviceGetHandleByUUID(name)
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
        except pynvml.NVMLError:
            return None


class Package:
    """Energy of a processor: a counter of microjoules (RAPL) that begins anew beyond its range.

    Raises:
        OSError, ValueError: it may not be read, or is none.
    """

    def __init__(self, folder: Path) -> None:
        self._counter = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._joules: float | None = 0.0
        self._last, self._when = int(self._counter.read_text()), monotonic()

    def poll(self) -> None:
        """Add what came since the last reading."""
        if self._joules is None:
            return
        try:
            counter, when = int(self._counter.read_text()), monotonic()
        except (OSError, ValueError):
            self._joules = None
            return
        unseen = (when - self._when) * MOST * 1e6 > self._range
        self._joules = None if unseen else self._joules + (counter - self._last) % self._range / 1e6
        self._last, self._when = counter, when

    def read(self) -> float | None:
        """Joules since the beginning; None where a part of them is not known."""
        self.poll()
        return self._joules


def packages() -> list[Package]:
    """Processors whose counters may be read; empty where one of them may not.

    Zones `intel-rapl:N`, which AMD's processors have too, are a processor where they are named `package-…`.
    Another of them, `psys`, is the whole machine, and `intel-rapl:N:M` are a processor's parts: both count
    what the processors' zones count already.
    """
    try:
        zones = [zone for zone in sorted(ROOT.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        return [Package(zone) for zone in zones if (zone / "name").read_text().startswith("package")]
    except (OSError, ValueError):
        return []
