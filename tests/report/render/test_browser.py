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


def until(page: Any, condition: str) -> None:
    """Wait for an expression to hold: a browser's own way evaluates text, which the page's policy forbids."""
    for _ in range(250):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never: {condition}")


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


def test_two_methods_are_compared_where_they_have_done_the_same_cells(chromium: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    synthetic.fill(store, {"linear-probe": 20, "dann": 26}, PAIRS, seeds=[0])
    for method, right in (("linear-probe", 20), ("maml", 30)):
        synthetic.write(store, synthetic.cell(method, "clip", "photo", shots=0, seed=1), right)
    page = chromium.new_page()
    page.goto(build(store.root).as_uri())
    said = page.locator(".explorer").first.get_by_role("status").inner_text()
    assert "dann is ahead of linear-probe on 5 of 5 pairs" in said
    assert "1 more is left out, of which they have not done the same cells" in said


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


def choices(page: Any) -> list[list[str]]:
    """Cells of the decision that are shown: the most accurate, the cheapest with no proven loss, avoid."""
    rows = page.locator(".decision tbody tr:visible")
    return [[" ".join(text.split()) for text in row.locator("td").all_inner_texts()] for row in rows.all()]


def test_filters_act_on_tables_and_figures_and_stand_in_the_address(chromium: Any, address: str) -> None:
    page = filtered(chromium, address, find="dan", question="cross-domain-5")
    assert set(rows(page)) == {"dann"}
    marks = page.locator(".panels [data-method]")
    assert {mark.get_attribute("data-method") for mark in marks.all() if mark.is_visible()} == {"dann"}
    assert page.locator(".decision tbody tr:visible").count() == 1
    [[most, *others]] = choices(page)
    assert most.startswith("dann 65.0 %")
    assert "+15.0 points over linear-probe" in most
    assert others == ["nothing to compare", "nothing is proven worse and no cheaper"]
    assert page.locator("#within").inner_text().startswith("Of the 1 method shown; means are over")
    assert page.url.endswith("#~find=dan&question=cross-domain-5")
    other = chromium.new_page()
    other.goto(page.url)
    assert rows(other) == ["dann"]
    other.get_by_role("button", name="Show all").click()
    until(other, "!location.hash.includes('find')")
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
    assert page.locator("#within").inner_text().startswith("Of the 2 methods shown, in each question")
    none, five = choices(page)
    assert none[0].startswith("dann 65.0 %")
    assert five[0].startswith("linear-probe 50.0 %")
    page.get_by_role("button", name="Show all").click()
    page.locator("#within").wait_for(state="hidden")


def decision_page(folder: Path) -> str:
    """Page of four methods of one question, of which none is as good as a cheaper one but `probe`."""
    store = Store(folder / "results")
    for method, right, seconds in (
        *(("linear-probe", 20, 2.0), ("dann", 30, 10.6)),
        *(("probe", 21, 4.2), ("bad", 2, 8.0)),
    ):
        for seed in range(3):
            cost = Cost(stages={"target": StageCost(seconds=seconds)})
            synthetic.write(store, synthetic.cell(method, seed=seed), right, cost=cost)
    return build(store.root).as_uri()


def test_the_decision_follows_the_filters(chromium: Any, tmp_path: Path) -> None:
    address = decision_page(tmp_path)
    page = chromium.new_page()
    page.goto(address)
    first = choices(page)
    assert first[0][0].startswith("dann 75.0 %")
    assert "10.6 s a cell" in first[0][0]
    page.locator("#filter [name=seconds]").fill("5")
    most, cheap, avoid = choices(page)[0]
    assert most.startswith("probe 52.5 %")
    assert "+2.5 points over linear-probe" in most
    assert "4.20 s a cell" in most
    assert cheap.startswith("linear-probe 50.0 %")
    assert "2.1× faster, no proven loss: −2.5 points" in cheap
    assert avoid == "nothing is proven worse and no cheaper"
    page.locator("#filter [name=seconds]").fill("9")
    avoid = choices(page)[0][2]
    assert avoid.startswith("bad 5.0 %")
    assert "−45.0 points" in avoid
    assert avoid.endswith("and 4.0× slower than linear-probe")
    page.locator("#filter [name=seconds]").fill("1")
    assert choices(page) == [["None of the methods that are left has results here."]]
    page.locator("#filter [name=seconds]").fill("1000")
    assert choices(page) == first, "of all methods the script decides as the page does"
    page.get_by_role("button", name="Show all").click()
    page.locator("#within").wait_for(state="hidden")
    assert choices(page) == first


def test_lines_and_sentences_of_all_methods_go_with_the_first_filter(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    style = "(part) => getComputedStyle(document.querySelector(part)).display"
    displays = f"['.panels .of-all', '.general'].map({style})"
    assert "none" not in page.evaluate(displays)
    page.locator("#filter [name=find]").fill("dann")
    assert page.evaluate(displays) == ["none", "none"]


def test_a_page_of_several_modalities_is_filtered_by_them(chromium: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for method, right in (("linear-probe", 20), ("dann", 26)):
        synthetic.write(store, synthetic.cell(method), right)
        synthetic.write(store, synthetic.cell(method, "news", "tweets", modality="text"), right + 4)
    page = chromium.new_page()
    page.goto(build(store.root).as_uri())
    assert page.locator("#filter [name=modality] option").all_inner_texts() == ["all", "image", "text"]
    assert len(choices(page)) == 2
    page.locator("#filter [name=modality]").select_option("text")
    assert [row[0].split(" (")[0] for row in choices(page)] == ["dann 75.0 %"]
    assert rows(page) == ["dann", "linear-probe"]
    assert page.locator(".panels figure:visible").count() == 1
    assert page.url.endswith("modality=text")
    page.get_by_role("button", name="Show all").click()
    until(page, "!location.hash.includes('modality')")
    assert len(choices(page)) == 2


def test_one_modality_needs_no_filter(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    assert page.locator("#filter [name=modality]").count() == 0


def test_a_link_keeps_the_filter(chromium: Any, address: str) -> None:
    page = filtered(chromium, address, find="dann")
    page.locator("section[aria-labelledby=leaderboard] tbody th a:visible").first.click()
    page.locator("details.group[open]").wait_for()
    assert "records-" in page.url
    assert page.url.endswith("~find=dann")


def test_a_link_that_is_opened_on_the_open_page_filters_it(chromium: Any, address: str) -> None:
    page = filtered(chromium, address, find="dann")
    page.goto(f"{address}#~find=linear")
    until(page, "document.querySelector('#filter').elements.find.value === 'linear'")
    assert set(rows(page)) == {"linear-probe"}
    page.goto(f"{address}#leaderboard~")
    page.locator("#within").wait_for(state="hidden")
    assert len(rows(page)) > 6


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


@pytest.mark.parametrize("width", [400, 768, 1440])
def test_tools_stand_on_their_tables_and_no_option_is_torn(chromium: Any, address: str, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    for tools in page.locator(".tools").all():
        box, below = tools.bounding_box(), tools.locator("xpath=following-sibling::*[1]").bounding_box()
        assert box["x"] == below["x"]
        assert 0 <= below["y"] - box["y"] - box["height"] < 40
    words = page.locator(".command span").all()
    assert "--results" in [word.inner_text() for word in words]
    for word in words:
        if word.inner_text().startswith("--"):
            assert word.bounding_box()["height"] < 30


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
