"""The page in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.store import Store
from report.page import build
from tests.report import synthetic

CHROMIUM = Path("/usr/bin/chromium")

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")


@pytest.fixture
def browser():
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield running
        running.close()


def test_the_page_in_a_browser(browser, store: Store) -> None:
    pairs = [(a, b) for a in ("photo", "sketch", None) for b in ("photo", "sketch") if a != b]
    synthetic.fill(store, {"linear-probe": 20, "dann": 26, "a-method-with-a-long-name": 8}, pairs)
    address = build(store.root).as_uri()
    for width in (1280, 400):
        page = browser.new_page(viewport={"width": width, "height": 900})
        errors, requests = [], []
        page.on("console", lambda message, into=errors: into.append(message.text))
        page.on("pageerror", lambda error, into=errors: into.append(str(error)))
        page.on("request", lambda request, into=requests: into.append(request.url))
        page.goto(address)
        assert page.get_by_role("heading", level=1).is_visible()
        rows = page.locator("section[aria-labelledby=leaderboard] tbody tr")
        assert rows.count() == 9
        assert rows.first.is_visible()
        assert rows.first.inner_text().startswith("dann")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert errors == []
        assert [url for url in requests if not url.startswith("data:")] == [address]
        page.close()


def test_a_click_sorts_and_unknown_values_stay_last(browser, store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "dann": 26}, shots=[5])
    store.write(synthetic.record(synthetic.cell("maml"), "skipped", "why"), {})
    page = browser.new_page()
    page.goto(build(store.root).as_uri())
    table = page.locator("section[aria-labelledby=leaderboard] table")
    button = table.get_by_role("button", name="accuracy, %")
    names = table.locator("tbody th")
    for order in ("descending", "ascending"):
        button.click()
        assert table.locator("thead th[aria-sort]").get_attribute("aria-sort") == order
        shown = [name.split("baseline")[0].strip() for name in names.all_inner_texts()]
        assert shown == (
            ["dann", "linear-probe", "maml"] if order == "descending" else ["linear-probe", "dann", "maml"]
        )
