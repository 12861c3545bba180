"""A page of many methods: what `python -m tests.speed.page` measures, but for seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.records.store import Store
from bench.report.render import browser
from bench.report.render.page import build
from tests.speed.page import BYTES, FILTERS, HEIGHT, WIDTHS, Look, fill, looks, names, notes, of_a_visit

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.executable() is None, reason="no Chromium is installed"),
]
METHODS = 47


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store, methods = Store(tmp_path_factory.mktemp("many") / "results"), names(METHODS)
    assert fill(store, methods) == METHODS * 12 * 3 * 2
    return build(store.root, notes=notes(methods))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


def test_it_is_small_and_asks_for_nothing_and_everybody_can_read_it(chromium: Any, page: Path) -> None:
    assert page.stat().st_size <= BYTES
    for visit in browser.visits(chromium, page.as_uri(), WIDTHS, browser.axe()):
        assert visit.errors == []
        assert visit.requests == []
        assert visit.width <= visit.window, f"scrolls sideways at {visit.window} px"
        assert visit.violations in (None, [])


def test_the_first_screen_answers(chromium: Any, page: Path) -> None:
    seen = [look for look in looks(chromium, page.as_uri()) if look.window == 1440]
    assert len(seen) == 2
    assert all(look.answer <= HEIGHT for look in seen)


def test_print_begins_with_a_summary_of_one_page(chromium: Any, page: Path) -> None:
    shown = chromium.new_page(viewport={"width": 700, "height": 1000})
    shown.goto(page.as_uri())
    shown.emulate_media(media="print")
    assert shown.evaluate("document.querySelector('header').getBoundingClientRect().height") < 1000
    assert shown.evaluate("getComputedStyle(document.querySelector('header')).breakAfter") == "page"
    assert not shown.locator("#uncertainty").is_visible(), "what is folded is not printed"


def test_the_script_decides_as_the_page_does(chromium: Any, page: Path) -> None:
    shown = chromium.new_page()
    shown.goto(page.as_uri())
    cells = shown.locator(".decision td")
    first = [" ".join(text.split()) for text in cells.all_inner_texts()]
    assert len(first) == 6
    shown.locator("#filter [name=seconds]").fill("1000000")
    assert [" ".join(text.split()) for text in cells.all_inner_texts()] == first


def test_every_filter_and_the_hash_are_measured(chromium: Any, page: Path) -> None:
    shown = chromium.new_page()
    shown.goto(page.as_uri())
    took = shown.evaluate(FILTERS)
    assert [*took] == ["find", "family", "seconds", "question", "methods", "hash"]
    assert not shown.locator("#within").is_visible(), "the last hash shows everything again"


def test_bounds_that_are_missed_are_named() -> None:
    visit = browser.Visit(1440, "light", 2.5, 1500, ["oops"], [], ["color-contrast: <a>"])
    found = list(of_a_visit(visit, Look(1440, "light", {"find": 99.0, "hash": 101.0}, 901.0)))
    assert [f"{each.what} {each.timed}" for each in found if each.missed] == [
        *("opens in True", "hash True", "width False", "answer ends at False", "errors False"),
        "violations of axe-core False",
    ]
    assert str(found[0]) == "opens in: 2.5 s (at most 2 s) MISSED"
    assert str(found[1]) == "filter by find: 99 ms (at most 100 ms)"
