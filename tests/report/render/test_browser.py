"""The page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.records.record import Cost, StageCost
from bench.records.store import Store
from bench.report.render import browser
from bench.report.render.page import build
from bench.report.tables.methods.families import MethodNotes
from tests.report import synthetic

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(browser.executable() is None, reason="no Chromium is installed")

PAIRS = [(a, b) for a in ("photo", "sketch", "clip", None) for b in ("photo", "sketch", "clip") if a != b]
LONG = "a-method-with-a-long-name-<b>&"
LARGEST = 10_000_000


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(tmp_path_factory.mktemp("page") / "results")
    synthetic.fill(store, {"linear-probe": 20, "dann": 26, LONG: 8}, PAIRS, seeds=[0, 1])
    store.write(synthetic.record(synthetic.cell("maml"), "failed", "diverged at step 7", "a log"), {})
    families = {"linear-probe": "finetuning", "dann": "alignment", "maml": "metalearning"}
    return build(store.root, notes=MethodNotes(families=families)).as_uri()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


def test_every_width_and_theme(chromium: Any, address: str) -> None:
    seen = list(browser.visits(chromium, address))
    assert len(seen) == 6
    for visit in seen:
        assert visit.errors == []
        assert visit.requests == []
        assert visit.width <= visit.window, f"scrolls sideways at {visit.window} px"


@pytest.mark.slow
@pytest.mark.skipif(browser.axe() is None, reason="axe-playwright-python is not installed")
def test_axe_finds_nothing(chromium: Any, address: str) -> None:
    for visit in browser.visits(chromium, address, widths=(1280,), rules=browser.axe()):
        assert visit.violations == []


def test_the_page_is_small(address: str) -> None:
    assert Path(address.removeprefix("file://")).stat().st_size < LARGEST


def test_everything_is_there_without_scripts(chromium: Any, address: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.get_by_role("heading", level=1).inner_text().startswith("Which method")
    first = page.locator("section[aria-labelledby=leaderboard] tbody tr").first
    assert first.inner_text().startswith("dann")
    first.get_by_role("link").click()
    assert page.locator("details.group:target summary").inner_text().startswith("dann, cross-domain")
    assert not page.locator("#filter").is_visible()


def test_a_number_leads_to_its_record(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    page.locator("section[aria-labelledby=leaderboard] tbody tr").first.get_by_role("link").click()
    group = page.locator("details.group:target[open]")
    group.wait_for()
    assert "python -m bench run --cell" in group.inner_text()


def test_a_click_sorts_and_unknown_values_stay_last(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    table = page.get_by_role("region", name="Leaderboard, cross-domain, 5 labelled").locator("table")
    button = table.get_by_role("button", name="accuracy, %")
    names = table.locator("tbody th a")
    for order in ("descending", "ascending"):
        button.click()
        assert table.locator("thead th[aria-sort]").get_attribute("aria-sort") == order
        known = ["dann", "linear-probe", LONG]
        assert names.all_inner_texts() == [*(known if order == "descending" else known[::-1]), "maml"]


def test_two_methods_are_set_side_by_side(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    box = page.locator(".explorer").first
    assert "dann is ahead of linear-probe on 6 of 6 pairs" in box.get_by_role("status").inner_text()
    box.get_by_label("Compare").select_option(label=LONG)
    assert f"{LONG} is ahead of linear-probe on 0 of 6 pairs" in box.get_by_role("status").inner_text()


def test_methods_can_be_left_out_of_all_tables(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    rows = page.locator("section[aria-labelledby=leaderboard] tbody th", has_text="linear-probe")
    assert rows.first.is_visible()
    page.locator("#methods summary").click()
    page.locator("#methods").get_by_label("linear-probe", exact=True).uncheck()
    assert not rows.first.is_visible()
    assert page.locator("#methods summary").inner_text() == "3 of 4 methods"


def filtered(chromium: Any, address: str, **chosen: str) -> Any:
    page = chromium.new_page()
    page.goto(address)
    for name, value in chosen.items():
        field = page.locator(f"#filter [name={name}]")
        field.select_option(value) if name in ("family", "question") else field.fill(value)
    return page


def rows(page: Any, section: str = "leaderboard") -> list[str]:
    found = page.locator(f"section[aria-labelledby={section}] tbody tr[data-method]")
    return [row.get_attribute("data-method") for row in found.all() if row.is_visible()]


def test_filters_act_on_tables_and_figures_and_stand_in_the_address(chromium: Any, address: str) -> None:
    page = filtered(chromium, address, find="dan", question="cross-domain-5")
    assert set(rows(page)) == {"dann"}
    marks = page.locator(".panels [data-method]")
    assert {mark.get_attribute("data-method") for mark in marks.all() if mark.is_visible()} == {"dann"}
    assert page.locator(".decision tbody tr:visible").count() == 1
    assert "The most accurate is dann: 65.0 %" in page.locator("#within").inner_text()
    assert page.url.endswith("#~find=dan&question=cross-domain-5")
    other = chromium.new_page()
    other.goto(page.url)
    assert rows(other) == ["dann"]
    other.get_by_role("button", name="Show all").click()
    other.wait_for_function("!location.hash.includes('find')")
    assert len(rows(other)) > 6
    assert not other.locator("#within").is_visible()


def test_filters_by_family_and_seconds(chromium: Any, address: str) -> None:
    page = filtered(chromium, address, family="finetuning")
    assert set(rows(page)) == {"linear-probe"}
    page = filtered(chromium, address, seconds="9")
    assert rows(page) == [], "every cell took ten seconds"
    page.locator("#filter [name=seconds]").fill("10")
    assert "maml" not in rows(page), "its seconds are not known"
    assert "dann" in rows(page)


def test_seconds_alone_say_what_is_left(chromium: Any, tmp_path: Path) -> None:
    """Every method is quick in some question: none is gone everywhere, and the answer is another."""
    store = Store(tmp_path / "results")
    for method, right, shots, seconds in (
        *(("linear-probe", 20, 0, 2.0), ("dann", 26, 0, 4.0)),
        *(("linear-probe", 20, 5, 2.0), ("dann", 26, 5, 40.0)),
    ):
        cost = Cost(stages={"target": StageCost(seconds=seconds)})
        synthetic.write(store, synthetic.cell(method, shots=shots), right, cost=cost)
    page = filtered(chromium, build(store.root).as_uri(), seconds="30")
    said = page.locator("#within").inner_text()
    assert said.startswith("Of the 2 methods shown. ")
    none, five = said.split("5 labelled target images per class.")
    assert "is dann: 65.0 %" in none
    assert "is linear-probe: 50.0 %" in five
    page.get_by_role("button", name="Show all").click()
    page.locator("#within").wait_for(state="hidden")


def test_a_link_keeps_the_filter(chromium: Any, address: str) -> None:
    page = filtered(chromium, address, find="dann")
    page.locator("section[aria-labelledby=leaderboard] tbody th a:visible").first.click()
    page.locator("details.group[open]").wait_for()
    assert "records-" in page.url
    assert page.url.endswith("~find=dann")


def test_a_table_is_saved_as_it_is_shown(chromium: Any, address: str) -> None:
    page = filtered(chromium, address, find="a-method")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save as CSV: Leaderboard, cross-domain, 5 labelled").click()
    head, *lines = Path(saving.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert head.startswith("method,family,place,group,")
    assert [line.split(",")[0] for line in lines] == [LONG]
    assert lines[0].split(",")[4] == "20"


def test_words_are_explained_to_the_finger(chromium: Any, address: str) -> None:
    context = chromium.new_context(has_touch=True, viewport={"width": 400, "height": 900})
    page = context.new_page()
    page.goto(address)
    page.locator("button.term", has_text="cell").first.tap()
    assert page.get_by_role("tooltip").inner_text().startswith("One method on one pair")
    page.get_by_role("button", name="Filter").tap()
    assert page.locator("#filter").is_visible()


def test_main_numbers_need_no_sideways_scroll_on_a_phone(chromium: Any, address: str) -> None:
    page = chromium.new_page(viewport={"width": 400, "height": 900})
    page.goto(address)
    for table in page.locator("table.cards").all():
        assert table.evaluate("(table) => table.scrollWidth") <= 400
        for cell in table.locator("td[data-label^=accuracy]").all():
            assert cell.bounding_box()["x"] + cell.bounding_box()["width"] <= 400


def test_every_command_can_be_copied(chromium: Any, address: str) -> None:
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(address)
    code = page.locator("code.command").first
    code.locator("xpath=following-sibling::button").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == code.inner_text()


def test_one_method_is_mapped_by_source_and_target(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    box = page.locator(".explorer").first
    assert box.locator("table.grid thead th").all_inner_texts()[1:] == ["clip", "photo", "sketch"]
    assert set(box.locator("table.grid td").all_inner_texts()) == {"+15.0", ""}
    box.get_by_label("Compare").select_option(label=LONG)
    assert set(box.locator("table.grid td").all_inner_texts()) == {"−30.0", ""}
    assert "compare0=a-method" in page.url


def test_the_keyboard_reaches_the_answer_and_what_heads_mean(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "answer"
    page.locator("section[aria-labelledby=leaderboard] thead button", has_text="group").first.focus()
    assert page.get_by_role("tooltip").inner_text() == "Methods that share a letter are not separable."
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()


def test_print_leaves_controls_out(chromium: Any, address: str) -> None:
    page = chromium.new_page(color_scheme="dark")
    page.goto(address)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".explorer").first.is_visible()
    assert page.locator("section[aria-labelledby=leaderboard] table").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
