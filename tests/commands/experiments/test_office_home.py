"""The whole way with images of our own making in Office-Home's real layout, and as the hub has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.data.catalog import load_card
from tests.data.pictures import as_folders, as_shards, pictures
from tests.support.checkout import bench


def answers(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("records/??/*.json")}


@pytest.mark.slow
def test_folder_and_shards_give_the_same_numbers(tmp_path: Path) -> None:
    card = load_card("office-home")
    assert (len(card.classes), len(card.domains)) == (65, 4)
    found = pictures(card.domains, card.classes, 9)
    as_folders(tmp_path / "folder" / "OfficeHomeDataset_10072016", found)
    as_shards(tmp_path / "shards" / "office-home" / "data", reversed(found), 3)
    done = {}
    for name in ("folder", "shards"):
        process = bench(
            *(
                "run",
                "--suite",
                "office-home",
                "--data-root",
                str(tmp_path / name),
                "--methods",
                "linear-probe",
            ),
            *("--backbone", "test_efficientnet.untrained", "--results", name),
            *("--source", "Art", "--target", "Real World"),
            cwd=tmp_path,
            BENCH_CACHE=str(tmp_path / f"cache-{name}"),
        )
        assert process.returncode == 0, process.stderr
        assert "warning: office-home/Art has 585 images; the card says 2427" in process.stderr
        done[name] = answers(tmp_path / name)
        page = (tmp_path / name / "report.html").read_text()
        assert "office-home/Real World has 585 images; the card says 4357" in page
    assert len(done["folder"]) == 3
    assert done["folder"].keys() == done["shards"].keys()
    for key, record in done["folder"].items():
        other = done["shards"][key]
        assert record["outcome"]["status"] == "done"
        assert record["evaluations"] == other["evaluations"]
        assert record["digests"] == other["digests"]
        assert record["predictions_sha256"] == other["predictions_sha256"]
        assert record["data_origin"] == "folder OfficeHomeDataset_10072016"
        assert other["data_origin"] == "folder office-home"
