"""Every method answers alike in two fresh processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from bench.method.registry import method_modules
from bench.records.record import Record
from tests.support.cells import assert_equal, tiny_cell
from tests.support.checkout import python

METHODS = sorted(method_modules())

FRESH = """
import sys
from pathlib import Path
from safetensors.numpy import save_file
from bench.spec.cell import Cell
from tests.support.cells import answer
import torch
torch.set_num_threads(1)
for text in sys.argv[2:]:
    cell = Cell.model_validate_json(text)
    record, predictions = answer(cell, Path("artifacts"))
    save_file(predictions, f"{sys.argv[1]}-{cell.method}.safetensors")
    Path(f"{sys.argv[1]}-{cell.method}.json").write_text(record.model_dump_json())
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers of every method by two processes, the second of which meets the methods in another order."""
    folder = tmp_path_factory.mktemp("fresh")
    cells = [tiny_cell(method).model_dump_json() for method in METHODS]
    for name, order in (("first", cells), ("second", cells[::-1])):
        (folder / name).mkdir()
        where = folder / name
        process = python("-c", FRESH, str(where / name), *order, cwd=where, OMP_NUM_THREADS="1")
        assert process.returncode == 0, process.stderr
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_two_fresh_processes_answer_alike(fresh: Path, method: str) -> None:
    stems = [fresh / name / f"{name}-{method}" for name in ("first", "second")]
    first, second = (Record.model_validate_json(stem.with_suffix(".json").read_text()) for stem in stems)
    assert first.outcome == second.outcome
    assert (first.evaluations, first.details, first.discrepancy_before) == (
        second.evaluations,
        second.details,
        second.discrepancy_before,
    )
    assert_equal(*(load_file(stem.with_suffix(".safetensors")) for stem in stems))
