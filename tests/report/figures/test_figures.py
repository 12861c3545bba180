from __future__ import annotations

import re
from xml.etree import ElementTree

from bench.records.store import Store
from bench.report.figures import figures, pareto
from bench.report.figures.critical_differences import critical_differences
from bench.report.figures.drawing import Picture, method_styles
from bench.report.render.conclusions import worth
from bench.report.scores.frame import load_frame
from bench.report.scores.supervision import Supervision
from bench.report.statistics.ranks import Ranks
from bench.report.tables.leaderboard import Block, leaderboard, leaderboards
from tests.report import synthetic

BLOCK = Block("cross-domain", Supervision(5))


def drawn(store: Store) -> list[Picture]:
    frame = load_frame(store)
    styles = method_styles(frame["method"].unique())
    board = leaderboard(frame, BLOCK, "linear-probe")
    pictures = [picture for _, picture in figures.heat_maps(frame, BLOCK)]
    pictures += [pareto.accuracy_against(board, cost, styles) for cost in (pareto.SECONDS, pareto.MEMORY)]
    pictures += [picture for _, picture in pareto.panels([board], styles)]
    pictures += [figures.learning_curves(frame, BLOCK, styles)]
    return [picture for picture in pictures if picture]


def test_figures_are_deterministic_text_and_well_formed(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "a <b> $x_y$ & c": 25}, shots=[5])
    pictures = drawn(store)
    assert len(pictures) == 6
    assert pictures == drawn(store)
    for picture in pictures:
        ElementTree.fromstring(picture.svg)
        assert "<metadata" not in picture.svg
        assert "currentColor" in picture.svg
        assert "<text" in picture.svg
    assert ">62.5</text>" in "".join(picture.svg for picture in pictures)


def test_ids_are_unique_and_references_resolve(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "dann": 25}, shots=[5])
    page = "".join(picture.svg for picture in drawn(store))
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'(?:url\(|xlink:href=")#([^")]+)', page))
    assert references
    assert references <= set(ids)


def test_maps_show_pretrained_as_a_row_and_name_every_number(store: Store) -> None:
    synthetic.fill(store, {"a": 20}, pairs=[("photo", "sketch"), (None, "sketch")], shots=[5])
    ((method, picture),) = figures.heat_maps(load_frame(store), BLOCK)
    assert method == "a"
    assert "photo to sketch 50.0" in picture.alt
    assert "pretrained to sketch 50.0" in picture.alt


def test_the_row_without_a_source_is_of_the_same_classes(store: Store) -> None:
    """Of a target's new classes 80 % with a source and 25 % without; of all its classes 50 %."""
    new, every = synthetic.CLASSES, (*synthetic.CLASSES, *"efgh")
    for source, kind, classes, right in (
        ("photo", "cross-domain-task", new, 32),
        (None, "pretrained", new, 10),
        (None, "pretrained", every, 20),
    ):
        cell = synthetic.cell("a", source)
        update = {"kind": kind, "source_classes": tuple("efgh") if source else (), "target_classes": classes}
        scenario = cell.scenario.model_copy(update=update)
        synthetic.write(store, cell.model_copy(update={"scenario": scenario}), right)
    frame = load_frame(store)
    ((_, picture),) = figures.heat_maps(frame, Block("cross-domain-task", Supervision(5)))
    assert "photo to sketch 80.0" in picture.alt
    assert "pretrained to sketch 25.0" in picture.alt
    boards = leaderboards(frame, "a")
    assert {(b.block.kind, b.block.shots): b.best.accuracy for b in boards if b.best} == {
        ("cross-domain-task", "5"): 80.0,
        ("pretrained", "5"): 50.0,
        ("pretrained", "5, 4 classes"): 25.0,
    }
    (sentence,) = worth(frame, boards)
    assert sentence.startswith("A source (cross-domain-task): worth +55.0 points")


def test_scales_of_equal_results_are_read_as_they_stand(store: Store) -> None:
    """Of 40 images all right: a scale of two points, whole below 100 % but for room, its numbers in full."""
    synthetic.fill(store, {"linear-probe": 40, "dann": 40}, shots=[5])
    board = leaderboard(load_frame(store), BLOCK, "linear-probe")
    ((_, picture),) = pareto.panels([board], method_styles(["linear-probe", "dann"]))
    (axes,) = picture.drawing.figure.axes
    low, high = axes.get_ylim()
    assert low <= 98
    assert 100 < high < 100.5
    ticks = [float(text.get_text()) for text in axes.get_yticklabels() if text.get_text()]
    assert {98.0, 99.0, 100.0} <= set(ticks)
    for text in (axes.yaxis.get_offset_text(), axes.xaxis.get_offset_text()):
        assert text.get_text() == ""


def test_nothing_to_draw(store: Store) -> None:
    store.write(synthetic.record(synthetic.cell(), "failed", "diverged"), {})
    assert drawn(store) == []


def test_many_methods_differ_in_colour_or_marker() -> None:
    styles = method_styles([f"m{number}" for number in range(40)])
    assert len(set(styles.of.values())) == 40


def test_critical_differences_by_hand() -> None:
    """Bars join what is 1 apart at most; two that share a method are not on one line."""
    ranks = Ranks({"a": 1.0, "b <i>": 2.0, "c": 2.5, "d": 4.0, "e": 4.5}, 4, 0.01, 1.0)
    picture = critical_differences(ranks, BLOCK)
    assert picture
    ElementTree.fromstring(picture.svg)
    (axes,) = picture.drawing.figure.axes
    bars = [line.get_xydata() for line in axes.lines if line.get_linewidth() == 3]
    assert [(start, end) for (start, _), (end, _) in bars] == [(1.0, 2.0), (2.0, 2.5), (4.0, 4.5)]
    first, second, third = (bar[0][1] for bar in bars)
    assert first == third != second
    # A line leads from each rank to its name; the better half is on the left.
    lines = [line.get_xydata() for line in axes.lines if line.get_linewidth() != 3]
    assert [line[0].tolist() for line in lines] == [[rank, 0.0] for rank in ranks.mean.values()]
    assert [line[-1][0] for line in lines] == [1.0, 1.0, 1.0, 5.0, 5.0]
    rows = {text.get_text().strip(): text.get_position()[1] for text in axes.texts}
    assert rows == {
        name: line[-1][1]
        for name, line in zip(["a (1.0)", "b <i> (2.0)", "c (2.5)", "(4.0) d", "(4.5) e"], lines, strict=True)
    }
    assert rows["a (1.0)"] == rows["(4.5) e"] > max(bar[0][1] for bar in bars)
    assert picture.alt.endswith("a 1.0, b <i> 2.0, c 2.5, d 4.0, e 4.5. Critical difference 1.00.")


def test_ranks_that_cannot_be_tested_are_not_drawn() -> None:
    assert critical_differences(Ranks({"a": 1.0, "b": 2.0}, 4, None, None), BLOCK) is None


def test_ranks_that_are_all_alike_are_drawn() -> None:
    """Two questions with opposite answers."""
    assert critical_differences(Ranks(dict.fromkeys("abc", 2.0), 2, 1.0, 2.3), BLOCK)
