"""Parquet shards from the outside: a folder of them, or a copy in the hub's cache, to records and a page."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bench.records.store import Store
from tests.support.checkout import bench

ROWS = 32
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY = ("--methods", "linear-probe", "--steps", "8", "--shots", "0", "--source", "shop", "--target", "site")
ITEMS = {
    "text": ("words", "tiny_encoder.untrained", "8"),
    "image": ("photo", "test_efficientnet.untrained", "32"),
}
"""By modality: the column of its items, a small network, and what it takes."""


def picture(row: int) -> dict[str, bytes]:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), (8 * row, 255 * (row % 2), 0)).save(out, "PNG")
    return {"bytes": out.getvalue()}


def write(folder: Path) -> Path:
    """Two shards of one dataset, the classes as numbers that the hub's library names."""
    table = pa.table(
        {
            "words": [f"{('poor', 'fine')[row % 2]} thing {row}" for row in range(ROWS)],
            "photo": [picture(row) for row in range(ROWS)],
            "mood": [row % 2 for row in range(ROWS)],
            "place": [("shop", "site")[row // 2 % 2] for row in range(ROWS)],
        }
    )
    features = {"info": {"features": {"mood": {"names": ["bad", "good"], "_type": "ClassLabel"}}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    folder.mkdir(parents=True)
    for number, start in enumerate((0, ROWS // 2)):
        pq.write_table(table.slice(start, ROWS // 2), folder / f"part-{number}-of-2.parquet")
    return folder


@pytest.mark.parametrize("modality", ITEMS)
def test_from_shards_to_a_page(tmp_path: Path, modality: str) -> None:
    column, network, size = ITEMS[modality]
    write(tmp_path / "things")
    named = (f"--{modality}", column, "--label", "mood", "--domain", "place")
    asked = ("run", "--data", "hf:things", *named, *TINY, "--backbone", network, "--image-size", size)
    done = bench(*asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "hf:things: a folder\n" in done.stderr
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name.endswith("-things")
    (record,) = Store(folder).records()
    cell = record.request.cell
    assert record.outcome.status == "done"
    assert (cell.modality, cell.scenario.source_classes) == (modality, ("bad", "good"))
    assert (folder / "report.html").is_file()
    again = bench(*asked, "--plan", cwd=tmp_path)
    assert "1 cell, 1 recorded, 0 to run" in again.stdout, again.stdout + again.stderr


def test_without_a_network_the_copy_of_the_hub_s_cache_is_read_or_said_to_lack(tmp_path: Path) -> None:
    """Nothing is fetched here: what a fetch leaves is laid out by hand."""
    offline = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    asked = ("data", "check", "--data", "hf:someone/things", "--text", "words", "--label", "mood")
    nothing = bench(*asked, cwd=tmp_path, **offline)
    assert nothing.returncode == 2
    assert "hf:someone/things@main: no network, and no copy in the hub's cache; fetch it" in nothing.stderr
    assert "Traceback" not in nothing.stderr
    repository = tmp_path / "hf/hub/datasets--someone--things"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    write(repository / "snapshots" / COMMIT)
    found = bench(*asked, "--domain", "place", cwd=tmp_path, **offline)
    assert f"hf:someone/things: commit {COMMIT}, of the hub's cache" in found.stderr
    assert "hub someone/things@01234567" in found.stdout
    assert found.returncode == 0, found.stdout + found.stderr
