"""The folder `datasets/` must not stand in for Hugging Face `datasets`, nor need it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checkout import ROOT, python

USE = """
import importlib.util
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
import bench.cli, bench.commands.experiments.run, bench.report.render.page, timm
from bench.networks.backbones.create import create_backbone
card = load_card("emoji-home")
assert len(open_dataset(card).domains["google"].names) == 1154
assert create_backbone("test_efficientnet.untrained").num_features > 0
"""


def test_no_python_in_the_folder_of_cards() -> None:
    names = [
        path.name for path in (ROOT / "datasets").rglob("*") if path.is_file() and ".pyc" not in path.name
    ]
    assert "emoji-home.toml" in names
    assert not [name for name in names if not name.endswith((".toml", ".tsv", ".md"))]


@pytest.mark.parametrize("first", ["stub", "checkout"])
def test_with_a_distribution_of_that_name(tmp_path: Path, first: str) -> None:
    """Whichever comes first on the path: a package beats a folder without `__init__.py`."""
    (tmp_path / "site" / "datasets").mkdir(parents=True)
    (tmp_path / "site" / "datasets" / "__init__.py").write_text(
        "__version__ = 'stub'\ndef load_dataset(): ...\n"
    )
    paths = [str(tmp_path / "site"), str(ROOT)][:: 1 if first == "stub" else -1]
    code = f"{USE}\nimport datasets\nassert datasets.__version__ == 'stub'\nassert datasets.load_dataset"
    process = python("-c", code, cwd=tmp_path, PYTHONPATH=":".join(paths))
    assert process.returncode == 0, process.stderr


def test_without_one_in_the_checkout() -> None:
    """`import datasets` would find an empty namespace here; nothing takes it for the real thing."""
    process = python("-c", USE, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
