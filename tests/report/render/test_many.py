"""A page of many methods: what `python -m tests.speed.page` measures, but for seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.records.store import Store
from bench.report.render import browser
from bench.report.render.page import build
from tests.speed.page import WIDTHS, fill, looks, names, notes

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.executable() is None, reason="no Chromium is installed"),
]
METHODS, LARGEST = 47, 6_000_000


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
    assert page.stat().st_size <= LARGEST
    for visit in browser.visits(chromium, page.as_uri(), WIDTHS, browser.axe()):
        assert visit.errors == []
        assert visit.requests == []
        assert visit.width <= visit.window, f"scrolls sideways at {visit.window} px"
        assert visit.violations in (None, [])


def test_the_first_screen_answers(chromium: Any, page: Path) -> None:
    seen = [look for look in looks(chromium, page.as_uri()) if look.window == 1440]
    assert len(seen) == 2
    assert all(look.answer <= 900 for look in seen)


def test_print_begins_with_a_summary_of_one_page(chromium: Any, page: Path) -> None:
    shown = chromium.new_page(viewport={"width": 700, "height": 1000})
    shown.goto(page.as_uri())
    shown.emulate_media(media="print")
    assert shown.evaluate("document.querySelector('header').getBoundingClientRect().height") < 1000
    assert shown.evaluate("getComputedStyle(document.querySelector('header')).breakAfter") == "page"
    assert not shown.locator("#uncertainty").is_visible(), "what is folded is not printed"
