"""`bench rank-backbones` from outside, on tiny networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from bench.commands.experiments.rank_backbones import VERIFIED, RankOptions, agreement
from bench.commands.experiments.rank_backbones import rank as rank_here
from bench.commands.options import SuiteOptions
from tests.support.checkout import bench

TINY = "test_efficientnet.untrained,test_efficientnet_gn.untrained,test_efficientnet_ln.untrained"


def rank(*arguments: str, cwd: Path):
    return bench("rank-backbones", "--dataset", "emoji-home", "--image-size", "32", *arguments, cwd=cwd)


def test_ranks_and_verifies(tmp_path: Path) -> None:
    process = rank("--target", "twitter", "--backbones", TINY, "--verify", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    rows = [line.split() for line in process.stdout.splitlines() if line.startswith("test_efficientnet")]
    assert {row[0] for row in rows} == set(TINY.split(","))
    log_me = [float(row[1]) for row in rows]
    assert log_me == sorted(log_me, reverse=True)
    assert all(row[5] == "–" for row in rows), "no ImageNet head, no LEEP"
    assert all(0 <= float(row[6]) <= 100 for row in rows)
    assert "LogME: Spearman" in process.stdout
    assert not list(tmp_path.iterdir()), "nothing is left where it was called"
    again = rank("--target", "twitter", "--backbones", TINY, "--verify", cwd=tmp_path)
    assert again.stdout == process.stdout


def test_features_are_of_the_arithmetic_that_cells_take_them_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's own default for convolutions is TF32, and a cell of fp32 takes over features kept here."""
    seen: set[tuple[bool, str]] = set()

    class Watched(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.nn.functional.conv2d:
                seen.add((torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()))
            return func(*args, **(kwargs or {}))

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    name = TINY.split(",", maxsplit=1)[0]
    options = RankOptions(
        SuiteOptions(target=["twitter"], image_size=32), "emoji-home", [name], "cpu", verify=False
    )
    with Watched():
        assert rank_here(options) == 0
    assert seen == {(False, "highest")}
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--target", "twiter"), "unknown domain of emoji-home 'twiter': did you mean 'twitter'?"),
        (("--target", "twitter", "--backbones", "resnet999"), "unknown backbone 'resnet999'"),
        (("--target", "twitter", "--backbones", ","), "--backbones names nothing"),
        (("--target", "twitter", "--device", "gpu"), "no device 'gpu'"),
        ((), "Missing option '--target'"),
    ],
)
def test_bad_requests(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    process = rank(*arguments, cwd=tmp_path)
    assert process.returncode == 2
    assert expected in process.stderr
    assert process.stderr.strip().count("\n") == 0
    assert process.stdout == ""


def test_agreement() -> None:
    rows = {str(n): {"up": n, "down": -n, "same": 54 + 1e-9 * n, VERIFIED: 10.0 + n} for n in range(3)}
    assert agreement(rows, "up") == "Spearman +1.00, Kendall +1.00 with the probe, over 3 backbones"
    assert agreement(rows, "down").startswith("Spearman -1.00")
    assert "cannot be said" in agreement(rows, "same")
    assert "cannot be said" in agreement({name: rows[name] for name in ("0", "1")}, "up")
