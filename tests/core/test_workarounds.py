"""Each workaround for CPUs can be left out, where it acts and not only by name."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn

from bench.core.errors import UserError
from bench.core.workarounds import VARIABLE, Workaround, left_out
from bench.engine.cell.environment import where
from bench.networks.depthwise import Quick, quick
from bench.networks.second_order import cheap_second_order
from tests.processes.test_malloc import glibc, stepped
from tests.support.checkout import bench


@pytest.fixture(params=get_args(Workaround))
def left(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One is left out."""
    monkeypatch.setenv(VARIABLE, request.param)
    return str(request.param)


def test_depthwise(left: str) -> None:
    expected = nullcontext if left == "depthwise" else Quick
    assert type(quick(nn.Conv2d(8, 8, 3, groups=8), "fp32")) is expected


def test_second_order(left: str) -> None:
    net = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2))
    copy = cheap_second_order(net)
    assert (type(copy[0]) is nn.BatchNorm2d) == (left == "second-order")
    assert copy[0].weight is net[0].weight, "a copy that shares parameters, either way"
    assert copy[0].running_mean is not net[0].running_mean


@glibc
@pytest.mark.parametrize("left", ["malloc", "depthwise"], indirect=True)
def test_malloc(left: str) -> None:
    kept = stepped("hold")[1] > 300
    assert kept == (left != "malloc")


def test_records_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert where(torch.device("cpu")).left_out == ()
    monkeypatch.setenv(VARIABLE, " second-order,depthwise,")
    assert where(torch.device("cpu")).left_out == ("depthwise", "second-order")


def test_a_name_that_is_none_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    process = bench("list", "suites", cwd=tmp_path, **{VARIABLE: "depthwis"})
    assert process.returncode == 2
    said = "error: BENCH_WITHOUT: there is no workaround 'depthwis': did you mean 'depthwise'?\n"
    assert process.stderr == said
    monkeypatch.setenv(VARIABLE, "malloc,openmp")
    with pytest.raises(UserError, match=r"no workaround 'openmp': choose from: depthwise, malloc, second-o"):
        left_out()
