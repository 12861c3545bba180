"""What methods ran at, and labels that leave points free."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from bench.records.store import Store
from bench.report.figures.drawing import canvas, label
from bench.report.render.page import render
from bench.report.scores.frame import load_frame
from bench.report.tables.facts import facts, speeds
from bench.spec.cell import Federation, Part, Setting
from tests.report import synthetic


def test_speeds_by_hand(store: Store) -> None:
    synthetic.fill(store, {"probe": 20}, shots=[0])
    synthetic.fill(store, {"probe": 30}, shots=[5])
    (row,) = speeds(load_frame(store))
    assert (row.kind, row.method, row.backbone) == ("cross-domain", "probe", "tiny")
    assert row.accuracy == pytest.approx(100 * (20 + 30) / (2 * synthetic.IMAGES))
    assert (row.own, row.alone, row.memory) == (4.0, 10.0, 2.0)
    assert len(row.blocks) == 2


def test_the_budget_is_that_of_the_kinds_that_ran(store: Store) -> None:
    """Of 40 steps a task has all; clients take 3 rounds of 5 steps."""
    parts = tuple(Part(domain=name, classes=synthetic.CLASSES) for name in ("photo", "sketch"))
    kinds = {"continual": {}, "federated": {"federation": Federation(rounds=3, local_steps=5)}}
    cells = [synthetic.cell("probe")]
    for kind, more in kinds.items():
        update = {"kind": kind, "source": None, "source_classes": (), "parts": parts, **more}
        scenario = cells[0].scenario.model_copy(update=update)
        cells.append(cells[0].model_copy(update={"scenario": scenario}))
    said = dict(facts(load_frame(store, cells)))["Budget"]
    assert said == (
        "40 steps in the source stage and half as many in the target stage; 40 steps in each task; "
        "15 steps of each client in all rounds, batches of 8, 2 evaluations a stage"
    )
    assert dict(facts(load_frame(store, cells[2:])))["Budget"].startswith("15 steps of each client")


def section(html: str) -> str:
    found = html[html.index('<section aria-labelledby="speed">') :]
    return found[: found.index("</section>")]


def test_what_is_the_same_everywhere_is_said_once(store: Store) -> None:
    synthetic.fill(store, {"probe": 20, "dann": 30}, shots=[5])
    one = section(render(load_frame(store)))
    assert one.count("cpu, 1 thread, channels last, fp32") == 1
    assert ">setting<" not in one
    assert ">step, median<" not in one
    asked = synthetic.record(synthetic.cell("maml"))
    other = asked.request.model_copy(update={"setting": Setting(threads=2)})
    store.write(
        asked.model_copy(update={"request": other}), synthetic.predictions({0: range(9), 1: range(9)})
    )
    several = section(render(load_frame(store)))
    assert ">setting<" in several
    rows = re.findall(r"<tr data-method.*?</tr>", several, flags=re.DOTALL)
    assert len({row.count("<td") for row in rows}) == 1
    assert sum("cpu, 1 thread, channels last, fp32" in row for row in rows) == 2


def test_a_column_that_nobody_has_a_value_for_is_left_out(store: Store) -> None:
    synthetic.fill(store, {"probe": 20}, shots=[5])
    assert "s.d. over seeds" not in render(load_frame(store))
    synthetic.write(store, synthetic.cell("probe", seed=1), 22)
    assert "s.d. over seeds" in render(load_frame(store))


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], (0, 9)),
        ([(5.5, 5.4)], (0, -16)),
        ([(5.5, 5.4), (5.5, 4.4)], (-9, -3)),
    ],
)
def test_a_label_keeps_clear_of_points(
    others: list[tuple[float, float]], expected: tuple[float, float]
) -> None:
    with canvas(5, 5) as (figure, axes):
        axes.set(xlim=(0, 10), ylim=(0, 10))
        label(figure, axes, [("no labels", (5, 5))], [(5, 5), *others])
        (text,) = axes.texts
        assert text.xyann == expected


def boxes(figure: Figure, axes: Axes) -> list[Bbox]:
    """Where the labels are drawn, in pixels."""
    figure.draw_without_rendering()
    return [Text.get_window_extent(text) for text in axes.texts]


def test_labels_of_a_crowd_do_not_overlap() -> None:
    """The first are there; lines lead to those that stand away; what has no place is left out."""
    crowd = [(5 + 0.1 * (place % 10), 5 + 0.2 * (place // 10)) for place in range(80)]
    names = [(f"a-method-{place}", point) for place, point in enumerate(crowd)]
    with canvas(4, 3) as (figure, axes):
        axes.set(xlim=(0, 10), ylim=(0, 10))
        label(figure, axes, names, crowd)
        there = [text.get_text() for text in axes.texts]
        assert there[:4] == ["a-method-0", "a-method-1", "a-method-2", "a-method-3"]
        assert len(there) < len(names)
        assert not [1 for one, other in combinations(boxes(figure, axes), 2) if one.overlaps(other)]
        assert [1 for text in axes.texts if isinstance(text, Annotation) and text.arrow_patch]


def test_labels_keep_clear_of_each_other() -> None:
    with canvas(5, 5) as (figure, axes):
        axes.set(xlim=(0, 10), ylim=(0, 10))
        label(figure, axes, [("first", (5, 5)), ("second", (5.2, 5))], [(5, 5), (5.2, 5)])
        first, second = axes.texts
        assert first.xyann != second.xyann
