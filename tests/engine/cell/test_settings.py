"""How cells are computed as an axis of a suite: what is asked for, what this machine lacks, what is timed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from bench.core.errors import CellSkipped
from bench.data.catalog import load_card
from bench.engine.cell.settings import arithmetic, resolve
from bench.engine.evaluation.predict import filled
from bench.spec.cell import RequestedSetting, Setting
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import CellChange, Settings, load_suite
from tests.support.cells import answer, assert_equal, tiny_cell


def test_every_combination_once() -> None:
    both = [True, False]
    settings = Settings(threads=[1, 2], channels_last=both, precision=["fp32", "bf16"], batch_size=[8])
    found = settings.combinations()
    assert len(found) == 2 * 2 * 2
    assert found[0] == (
        RequestedSetting(threads=1, channels_last=True),
        CellChange(precision="fp32", batch_size=8),
    )
    assert Settings().combinations() == [(None, CellChange())]


def test_settings_are_cells_of_their_own() -> None:
    suite = load_suite("smoke").model_copy(update={"seeds": [0]})
    card = load_card(suite.dataset)
    usual = plan(suite, card)
    asked = suite.model_copy(update={"settings": Settings(threads=[1, 2], batch_size=[4, 8])})
    cells = plan(asked, card)
    assert len({cell.key for cell in cells}) == len(cells) == 4 * len(usual)
    assert {(cell.setting.threads, cell.budget.batch_size) for cell in cells if cell.setting} == {
        (1, 4),
        (1, 8),
        (2, 4),
        (2, 8),
    }
    assert not {cell.key for cell in usual} & {cell.key for cell in cells}


@pytest.mark.parametrize(
    ("wanted", "precision", "reason"),
    [
        (RequestedSetting(device="tpu"), "fp32", "no device 'tpu' on this machine"),
        (RequestedSetting(threads=100_000), "fp32", f"this machine has {os.cpu_count()} processors"),
        (RequestedSetting(device="cpu"), "tf32", "tf32 is arithmetic of CUDA devices"),
        (RequestedSetting(device="cpu", compile="reduce-overhead"), "fp32", "replays CUDA graphs"),
    ],
)
def test_what_the_machine_lacks_is_skipped_with_the_reason(
    wanted: RequestedSetting, precision: str, reason: str, tmp_path: Path
) -> None:
    cell = tiny_cell("linear-probe", setting=wanted, precision=precision)
    with pytest.raises(CellSkipped, match=reason):
        resolve(cell, Setting())
    record, predictions = answer(cell, tmp_path)
    assert record.outcome.status == "skipped"
    assert reason in record.outcome.reason
    assert not predictions


def test_what_is_not_asked_for_is_as_usual() -> None:
    usual = Setting(threads=1, channels_last=False)
    assert resolve(tiny_cell(), usual) == usual
    assert resolve(tiny_cell(setting=RequestedSetting(channels_last=True)), usual) == Setting(threads=1)


def test_a_timed_cell_says_how_fast_it_was_and_answers_alike(tmp_path: Path) -> None:
    plain, expected = answer(tiny_cell(), tmp_path / "a")
    cell = tiny_cell(setting=RequestedSetting(channels_last=True, threads=1))
    record, predictions = answer(cell, tmp_path / "b")
    assert record.outcome.status == "done"
    assert_equal(predictions, expected)
    assert record.request.setting == Setting(device="cpu", threads=1, channels_last=True)
    # Two stages, of 6 and 3 steps; in each, 3 to warm up, and none across a look.
    steps = record.cost.steps
    assert steps
    assert 0 < steps.count < 6 + 3 - 2 * 3
    assert 0 < steps.p25 <= steps.p50 <= steps.p75 <= steps.p95
    assert record.cost.predictions_per_second
    assert record.cost.flops_per_step
    assert plain.cost.flops_per_step is None


def test_flops_by_hand(tmp_path: Path) -> None:
    """A linear head on frozen features: forwards 2 B D C, backwards as much for the weight."""
    cell = tiny_cell("partial-finetune", overrides={"unfreeze": "head"}, setting=RequestedSetting(threads=1))
    record, _ = answer(cell, tmp_path)
    assert record.outcome.status == "done", record.outcome.reason
    head = record.cost.parameters_trained
    weight = head - 4  # a bias for each of four classes
    assert record.cost.flops_per_step == 2 * 2 * cell.budget.batch_size * weight


def test_arithmetic_is_put_back() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with arithmetic(Setting(threads=1), "tf32"):
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_num_threads() == 1
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_accelerators_add_in_one_order() -> None:
    """What an accelerator may do in any order costs a CPU nothing to know of; so this runs without one."""
    for device, expected in (("cpu", False), ("cuda", True)):
        with arithmetic(Setting(device=device), "fp32"):
            assert torch.are_deterministic_algorithms_enabled() == expected
        assert not torch.are_deterministic_algorithms_enabled()


def test_a_last_batch_is_as_long_as_the_others_on_an_accelerator() -> None:
    """torch's device without numbers stands for one: its shapes are true."""
    x = torch.empty(3, 4, 5, 5, device="meta").contiguous(memory_format=torch.channels_last)
    assert filled(x, 8).shape == (8, 4, 5, 5)
    assert filled(x, 8).is_contiguous(memory_format=torch.channels_last)
    assert filled(x, 3) is x
    here = torch.ones(3, 4)
    assert filled(here, 8) is here


def test_compile_is_said_as_before_and_by_its_mode() -> None:
    modes = Settings(compile=[False, True, "reduce-overhead"]).combinations()
    wanted = [how for how, _ in modes if how]
    assert [how.compile for how in wanted] == [False, True, "reduce-overhead"]
    assert [how.label for how in wanted] == ["eager", "compiled", "compiled (reduce-overhead)"]
    with pytest.raises(ValueError, match="reduce-overhead"):
        Settings(compile=["fast"])  # type: ignore[list-item]


@pytest.mark.parametrize("method", ["l2-sp", "nrc"])
def test_operations_are_counted_of_a_method_that_prepares_its_stages(method: str, tmp_path: Path) -> None:
    record, _ = answer(tiny_cell(method, shots=2, setting=RequestedSetting(threads=1)), tmp_path)
    assert record.outcome.status == "done", record.outcome.reason
    assert record.cost.flops_per_step
