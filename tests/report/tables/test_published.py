from __future__ import annotations

import csv
from itertools import permutations
from pathlib import Path

import pytest

from bench.data.card import CARDS
from bench.data.catalog import load_card
from bench.records.store import Store
from bench.report.figures.drawing import method_styles
from bench.report.figures.published import published_marks
from bench.report.render.page import render
from bench.report.scores.external import read_published
from bench.report.scores.frame import load_frame
from bench.report.tables.published import PublishedResults, published
from bench.spec.cell import Scenario
from tests.report import synthetic
from tests.support.checkout import bench


def office(method: str, source: str = "Art", target: str = "Clipart", shots: int = 0):
    names = synthetic.CLASSES
    scenario = Scenario(
        kind="cross-domain",
        dataset="office-home",
        source=source,
        source_classes=names,
        target=target,
        target_classes=names,
        shots=shots,
    )
    return synthetic.cell(method).model_copy(update={"scenario": scenario})


def by_name(found: PublishedResults, method: str) -> dict[str, float]:
    """Published accuracies by network of the rows of one published method."""
    return {
        row.published.backbone: row.published.accuracy
        for row in found.rows
        if row.published.method.replace(" ", "") == method
    }


def test_published_numbers_stand_beside_ours_with_their_caveat(store: Store) -> None:
    synthetic.write(store, office("dann"), 20, 30)
    synthetic.write(store, office("full-finetune"), 10)
    synthetic.write(store, office("maml"), 10)
    synthetic.write(store, office("dann", shots=5), 20)
    found = published(load_frame(store), "full-finetune")
    dann = next(row for row in found.rows if row.published.method == "DANN")
    assert dann.ours is not None
    assert (dann.ours.method, dann.published.pair) == ("dann", "Art → Clipart")
    assert (dann.ours.last, dann.ours.oracle) == (50.0, 75.0)
    assert by_name(found, "DANN")["resnet50"] == 53.8
    alone = [row for row in found.rows if row.ours and row.ours.method == "full-finetune"]
    assert [(row.published.method, row.published.accuracy) for row in alone] == [
        ("ERM", 41.1),
        ("Source Only", 52.4),
    ]
    assert "oracle" in found.notes[0]
    assert "transductive" in found.notes[0]
    fewer = (
        "Ours are on 4 of the 65 classes of office-home, papers' on all of them, which is another question."
    )
    assert found.notes[-1] == fewer
    assert found.faults == []
    assert {row.published.protocol for row in found.rows} == {"chosen by oracle, transductive"}


def test_methods_that_did_not_run_are_shown(store: Store) -> None:
    synthetic.write(store, office("dann"), 20)
    found = published(load_frame(store), "full-finetune")
    assert by_name(found, "ADDA") == {"resnet50": 52.6}
    assert {row.published.method for row in found.rows if row.ours is None} >= {"ADDA", "MCC", "ERM"}
    assert {row.published.pair for row in found.rows} == {"Art → Clipart"}
    resnet = [row for row in found.rows if row.published.backbone == "resnet50"]
    assert len(resnet) == 12, "every method of the table"


def test_a_mean_over_all_pairs_is_shown_where_all_were_run(store: Store) -> None:
    pairs = [*permutations(load_card("office-home").domains, 2)]
    for source, target in pairs[1:]:
        synthetic.write(store, office("dann", source, target), 20)
    assert "average" not in {row.published.pair for row in published(load_frame(store), "x").rows}
    synthetic.write(store, office("dann", *pairs[0]), 32)
    found = published(load_frame(store), "x")
    mean = next(row for row in found.rows if row.published.pair == "average" and row.ours)
    assert mean.ours is not None
    assert mean.ours.last == pytest.approx(50 + 30 / 12)
    means = {row.published.method: row.published.accuracy for row in found.rows if not row.ours}
    assert (means["SHOT"], means["BNM"]) == (71.8, 66.9), "published as means alone"
    ((name, picture),) = published_marks(found.rows, method_styles(["dann"]))
    assert name == "office-home at 0 shots"
    assert "dann 52.5 (ours, tiny, last)" in picture.alt
    assert "DSAN 68.0 (published, resnet50, DeepDA)" in picture.alt
    # Published marks are hollow, ours are filled.
    (legend,) = picture.drawing.figure.legends
    hollow = {line.get_markerfacecolor() == "none" for line in legend.get_lines()}
    assert hollow == {True, False}
    for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True):
        assert (line.get_markerfacecolor() == "none") is text.get_text().startswith("published")


def test_no_table_no_rows(store: Store) -> None:
    synthetic.write(store, synthetic.cell("dann", shots=0), 20)
    assert published(load_frame(store), "full-finetune").rows == []


def test_packaged_tables_are_without_fault() -> None:
    for name in ("office-home", "office-31"):
        card = load_card(name)
        table = read_published(CARDS / card.anchors, {name: card.domains})
        assert table.faults == ()
        assert len({each.method for each in table.results}) > 12


OWN = """method,backbone,pair,shots,accuracy,deviation,citation
DANN,resnet18,photo → sketch,5,61.5,0.7,Somebody 2020
Nobody's <b>,,photo → sketch,5,70,,
DANN,,photo → moon,5,50,,
DANN,,sketch → photo,5,0.61,,
Linear-Probe,,sketch → photo,0,44,,
"""


def test_a_file_of_the_user_on_the_command_line(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    synthetic.fill(store, {"dann": 20, "linear-probe": 18}, shots=[5])
    (tmp_path / "own.csv").write_text(OWN, encoding="utf-8")
    shown = bench("report", "--results", "results", "--published", "own.csv", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr.splitlines() == [
        "warning: own.csv, line 5: fractions among percent are left out: write all accuracies alike",
        "warning: own.csv, line 4: unknown domain of toys 'moon': choose from: photo, sketch",
        shown.stderr.splitlines()[-1],
    ]
    assert "own.csv, no method here is called 'Nobody's <b>' (" in shown.stderr
    assert shown.stderr.endswith("): its results stand alone\n")
    page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert "Somebody 2020" in page
    assert "Nobody&#39;s &lt;b&gt;" in page
    assert "own.csv, line 4: unknown domain of toys" in page
    assert "Linear-Probe</th>" not in page, "at other shots than were run"
    # The leaderboard knows of nothing published.
    board = page[page.index('id="leaderboard"') : page.index('id="cost"')]
    assert "Nobody" not in board
    again = bench("report", "--results", "results", cwd=tmp_path)
    assert again.returncode == 0
    assert "Somebody" not in (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    exported = bench("export", "out", "--results", "results", "--published", "own.csv", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    table = (tmp_path / "out" / "tables" / "published.csv").read_text(encoding="utf-8")
    assert "Somebody 2020" in table
    assert list((tmp_path / "out" / "figures").glob("published-*.svg"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.csv", None, "--published: there is no 'gone.csv'"),
        ("own.csv", "a,b\n1,2\n", "has no column method and no column accuracy and no column pair"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    synthetic.fill(Store(tmp_path / "results"), {"dann": 20}, shots=[5])
    if content:
        (tmp_path / name).write_text(content)
    found = bench("report", "--results", "results", "--published", name, cwd=tmp_path)
    assert found.returncode == 2
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1


CARD = """
title = "toys"
description = "d"
licence = "l"
domains = ["photo", "sketch"]
classes = ["class 0", "class 1", "class 2", "class 3"]
anchors = "ours.tsv"
sources = [{ type = "folder" }]
"""


def test_anchors_are_beside_the_card(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also beside that of own images; without the file the page says so, and is there."""
    synthetic.fill(store, {"dann": 20}, shots=[5])
    toys = tmp_path / "toys"
    for place in ("photo/class 0", "sketch/class 0"):
        (toys / place).mkdir(parents=True)
    (toys / "card.toml").write_text(CARD)
    monkeypatch.setenv("BENCH_OWN_DATA", str(toys))
    page = render(load_frame(store))
    assert "cannot read the table ours.tsv: No such file" in page
    assert str(tmp_path) not in page
    (toys / "ours.tsv").write_text("method\tpair\tshots\taccuracy\nDANN\tphoto → sketch\t5\t61.5\n")
    (row,) = published(load_frame(store), "x").rows
    assert row.ours is not None
    assert (row.published.accuracy, row.ours.method) == (61.5, "dann")
    (toys / "card.toml").write_text(CARD.replace("ours.tsv", "../ours.tsv"))
    found = bench("data", "check", "--data", str(toys), cwd=tmp_path)
    assert found.returncode == 2
    assert "'../ours.tsv' is no name of a file beside the card" in found.stderr


def test_accuracies_are_not_set_beside_another_metric(tmp_path: Path) -> None:
    """A balanced accuracy of ours beside a published accuracy would be a gain of the metric."""
    store = Store(tmp_path / "results")
    synthetic.write(store, synthetic.cell("dann", metric="balanced-accuracy"), 20)
    text = "method,dataset,pair,shots,accuracy\nDANN,toys,photo → sketch,5,61.5\n"
    (tmp_path / "own.csv").write_text(text, encoding="utf-8")
    said = "own.csv, accuracies of toys are left out: its cells have balanced accuracy"
    shown = bench("report", "--results", "results", "--published", "own.csv", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr.splitlines() == [f"warning: {said}"]
    page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert said in page
    assert "61.5" not in page
    # Cells of the same set that are judged by accuracy are set beside, and they alone.
    synthetic.write(store, synthetic.cell("dann"), 30)
    beside = bench("report", "--results", "results", "--published", "own.csv", cwd=tmp_path)
    assert beside.stderr == ""
    exported = bench("export", "out", "--results", "results", "--published", "own.csv", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    (row,) = csv.DictReader((tmp_path / "out" / "tables" / "published.csv").open(encoding="utf-8"))
    assert "75" in row.values() or "75.0" in row.values(), row
