"""One's own rows from the outside: from a table to records and a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.records.store import Store
from tests.support.checkout import bench
from tests.support.pages import of_images

NAMED = ("--data", "people.csv", "--label", "default", "--domain", "country")
TINY = ("--methods", "linear-probe,boosted-trees", "--backbone", "mlp.untrained", "--steps", "8")


def people(shift: float = 0) -> pd.DataFrame:
    """Rows of two countries: what is owed tells who pays."""
    random, rows = np.random.default_rng(1), 160
    late = np.arange(rows) % 2
    return pd.DataFrame(
        {
            "owed": (random.normal(size=rows) + 2 * late + shift).round(3),
            "age": [None if row % 9 == 0 else 20 + row % 40 for row in range(rows)],
            "town": [("north", "south")[row % 3 // 2] for row in range(rows)],
            "country": ["DE" if row < 80 else "ES" for row in range(rows)],
            "default": late,
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people().to_csv(tmp_path / "people.csv", index=False, sep=";")
    return tmp_path


def test_from_a_table_to_a_page(folder: Path) -> None:
    asked = ("run", *NAMED, *TINY, "--source", "DE", "--target", "ES", "--shots", "0")
    plan = bench(*asked, "--plan", cwd=folder)
    assert plan.returncode == 0, plan.stderr
    assert "people.csv: read as rows (--modality NAME reads it otherwise)" in plan.stderr
    assert "2 cells, 0 recorded, 2 to run" in plan.stdout
    done = bench(*asked, cwd=folder)
    assert done.returncode == 0, done.stderr
    store = Store(folder / "results/own-rows-people")
    records = {record.request.cell.method: record for record in store.records()}
    assert {*records} == {"linear-probe", "boosted-trees"}
    for record in records.values():
        cell = record.request.cell
        assert (cell.modality, cell.metric, cell.image_size) == ("table", "auc", 5)
        assert record.outcome.status == "done"
    assert (store.root / "report.html").is_file()
    again = bench(*asked, cwd=folder)
    assert "2 cells, 2 recorded, 0 to run" in again.stdout
    people(shift=1).to_csv(folder / "people.csv", index=False)
    changed = bench(*asked, "--plan", cwd=folder)
    assert "2 stale (other rows; run again)" in changed.stdout
    # A page is built without the table.
    (folder / "people.csv").unlink()
    page = bench("report", "--results", str(store.root), "--out", "page.html", cwd=folder)
    assert page.returncode == 0, page.stderr
    html = (folder / "page.html").read_text()
    assert "boosted-trees" in html
    for text in (html, plan.stdout, done.stdout, done.stderr, again.stdout, changed.stdout):
        assert not of_images(text)
    assert "AUC is on target test rows" in html
    assert "<em>AUC</em>: share of pairs" in html
    assert "the highest AUC" in html
    assert "AUC in percent, mean over the shared cells" in done.stdout


def test_one_domain_has_a_suite_of_its_own(folder: Path) -> None:
    people().assign(country="DE").to_csv(folder / "people.csv", index=False)
    plan = bench("run", *NAMED, *TINY, "--shots", "5", "--plan", cwd=folder)
    assert plan.returncode == 0, plan.stderr
    assert "suite own-rows-alone-people" in plan.stdout


def test_the_doctor_and_wrong_names(folder: Path) -> None:
    sound = bench("data", "check", *NAMED, cwd=folder)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    assert "note: missing values: in 1 column" in sound.stdout
    people().assign(told=people()["default"]).to_csv(folder / "people.csv", index=False)
    leak = bench("data", "check", *NAMED, cwd=folder)
    assert leak.returncode == 1
    assert "fault: columns that tell the class: 1 column\n    told\n" in leak.stdout
    wrong = bench("data", "check", *NAMED[:4], "--domain", "contry", cwd=folder)
    assert wrong.returncode == 2
    assert wrong.stderr.endswith(
        "people.csv has no column 'contry', as --domain says: did you mean 'country'?\n"
    )
    named = str(folder / "photos")
    (folder / "photos").mkdir()
    images = bench("data", "check", "--data", "photos", "--label", "x", cwd=folder)
    assert images.returncode == 2
    assert images.stderr.endswith(
        "--label x names a column of a table, and '" + named + "' is a folder; its parquet files are read "
        f"as one table with --data hf:{named}\n"
    )
