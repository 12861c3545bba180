from __future__ import annotations

import re
from xml.etree import ElementTree

from bench.records.store import Store
from bench.report.figures import figures, pareto
from bench.report.figures.drawing import Picture, method_styles
from bench.report.scores.frame import load_frame
from bench.report.scores.supervision import Supervision
from bench.report.tables.leaderboard import Block, leaderboard
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


def test_nothing_to_draw(store: Store) -> None:
    store.write(synthetic.record(synthetic.cell(), "failed", "diverged"), {})
    assert drawn(store) == []


def test_many_methods_differ_in_colour_or_marker() -> None:
    styles = method_styles([f"m{number}" for number in range(40)])
    assert len(set(styles.of.values())) == 40
