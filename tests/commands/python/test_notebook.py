"""The example notebook, executed by a kernel, and what a notebook shows of an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.support.checkout import ROOT


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


def executed(notebook: Any, folder: Path, **options: Any) -> Any:
    resources = {"metadata": {"path": str(folder)}}
    return NotebookClient(notebook, timeout=280, resources=resources, **options).execute()


def shown(cell: Any) -> dict[str, str]:
    """What a cell's last line shows, by type."""
    (data,) = [output["data"] for output in cell["outputs"] if output["output_type"] == "execute_result"]
    return {kind: str(text) for kind, text in data.items()}


def test_the_example_notebook(environment: Path) -> None:
    notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code), "committed without outputs"
    executed(notebook, environment)
    *_, results, board, frame, report = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "4 cells, 4 done" in shown(results)["text/plain"]
    assert shown(results)["text/html"].count("<table") == 2
    for cell in (board, frame):
        assert "linear-probe" in shown(cell)["text/html"]
        assert "full-finetune" in shown(cell)["text/html"]
    assert "report.html" in shown(report)["text/plain"]
    assert (environment / "results" / "digits" / "report.html").is_file()


def test_an_error_is_one_line(environment: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import bench\nbench.run('qiuck')")])
    with pytest.raises(CellExecutionError):
        executed(notebook, environment)
    (output,) = notebook.cells[0].outputs
    (line,) = output["traceback"]
    assert line.startswith("error: unknown suite 'qiuck': did you mean 'quick'")
