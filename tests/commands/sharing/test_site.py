"""The site: pages of merged results that lead to each other, Parquet beside them, names as text."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.core.errors import UserError
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.site.build import slug
from bench.report.tables.leaderboard import leaderboards
from tests.report.synthetic import cell, write
from tests.support.checkout import ROOT

SMOKE, TASKS = (str(ROOT / "results" / "baselines" / name) for name in ("smoke", "emoji-tasks"))


def site(out: Path, *folders: str) -> Path:
    result = CliRunner().invoke(cli, ["site", *folders, "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"), SMOKE)


class Page(HTMLParser):
    """Links, tags and texts of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_pages_lead_to_each_other(built: Path) -> None:
    reached, ahead = set[Path](), {built / "index.html"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        if page.suffix == ".html":
            links = Page(page).links
            assert links
            assert not [link for link in links if re.match(r"\w+:|//", link)], "no request to anywhere"
            ahead |= {(page.parent / unquote(link)).resolve() for link in links} - reached
    assert reached == {path.resolve() for path in built.rglob("*.*") if path.is_file()}
    methods = {path.stem for path in (built / "methods").iterdir()}
    assert methods == {"dann", "full-finetune", "linear-probe"}
    assert {path.stem for path in (built / "datasets").iterdir()} == {"emoji-home"}


def test_numbers_are_the_records(built: Path) -> None:
    boards = leaderboards(load_frame(Store(Path(SMOKE)), per_image=False), "linear-probe")
    text = Page(built / "suites" / "smoke@1.html").text
    for board in boards:
        assert board.block.title in text
        for row in board.rows:
            assert row.accuracy is None or f"{row.accuracy:.1f}" in text
    frame = pd.read_parquet(built / "data" / "smoke@1.parquet")
    assert {*frame["key"]} == {*Store(Path(SMOKE)).keys()}
    assert "accuracy last" in frame


def test_words_are_those_of_the_metric_and_the_items(tmp_path: Path) -> None:
    """A suite by AUC of sequences beside one by accuracy of images."""
    mhc = str(ROOT / "results" / "baselines" / "mhc-binding")
    pages = site(tmp_path / "site", SMOKE, mhc)
    suite = Page(pages / "suites" / "mhc-binding@1.html").text
    assert "AUC is in percent on the target's test sequences" in suite
    assert (
        "Accuracy is in percent on the target's test images" in Page(pages / "suites" / "smoke@1.html").text
    )
    assert not re.search("accura|image", suite)
    index = Page(pages / "index.html").text
    assert re.search(r"cross-domain, all target labels: scratch 89\.3\s% AUC", index)
    assert "most accurate" not in index
    rows = (pages / "methods" / "linear-probe.html").read_text(encoding="utf-8").split("<tr>")
    for name, metric in (("mhc-binding@1", "AUC"), ("smoke@1", "accuracy")):
        mine = [row for row in rows if f">{name}</a></th>" in row]
        assert mine
        assert all(f"<td>{metric}</td>" in row for row in mine)


def test_methods_and_datasets_say_what_they_are(built: Path) -> None:
    assert "Ganin 2016" in Page(built / "methods" / "dann.html").text
    assert "Noto Emoji by Google, Apache 2.0" in Page(built / "datasets" / "emoji-home.html").text


def test_the_same_results_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    again = site(tmp_path / "again", SMOKE)
    for path in built.rglob("*.*"):
        assert path.read_bytes() == (again / path.relative_to(built)).read_bytes()


def test_a_submission_stands_beside_a_baseline_once(tmp_path: Path) -> None:
    out = str(tmp_path / "me")
    CliRunner().invoke(
        cli, ["submit", "smoke@1", "--by", "Jo", "--results", SMOKE, "--out", out], catch_exceptions=False
    )
    pages = site(tmp_path / "site", out, SMOKE)
    assert len(pd.read_parquet(pages / "data" / "smoke@1.parquet")) == 9
    text = Page(pages / "suites" / "smoke@1.html").text
    assert "Jo" in text
    assert "reproduced" not in text


def test_a_submission_with_a_fault_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "me"
    CliRunner().invoke(cli, ["submit", "smoke@1", "--by", "me", "--results", SMOKE, "--out", str(out)])
    (out / "x.txt").write_text("x")
    with pytest.raises(UserError, match=r"is refused: 'x.txt' is a foreign file"):
        site(tmp_path / "site", str(out))
    assert not (tmp_path / "site").exists()


def test_a_failure_hides_no_result_of_another_folder(built: Path, tmp_path: Path) -> None:
    base, failed = Store(Path(SMOKE)), Store(tmp_path / "failed")
    failed.prepare()
    for record in base.records():
        outcome = record.outcome.model_copy(update={"status": "failed", "reason": "no room"})
        failed.write(record.model_copy(update={"outcome": outcome}), {})
    pages = site(tmp_path / "site", str(failed.root), SMOKE)
    both, alone = (pd.read_parquet(place / "data" / "smoke@1.parquet") for place in (pages, built))
    done = alone.loc[alone["status"] == "done", "key"]
    assert len(both) == len(alone)
    assert {*both.loc[both["status"] == "done", "key"]} == {*done}


def test_variants_of_two_folders_are_two_methods(tmp_path: Path) -> None:
    """The same question by default and by another weight, each alone in its folder."""
    for folder, overrides, right in (("one", {}, 20), ("two", {"weight": 0.3}, 32)):
        write(Store(tmp_path / folder), cell("dann", overrides=overrides), right)
    pages = site(tmp_path / "site", str(tmp_path / "one"), str(tmp_path / "two"))
    table = pd.read_parquet(pages / "data" / "toy-suite.parquet").set_index("method")
    assert table["accuracy headline"].to_dict() == {"dann": 50.0, "dann (weight=0.3)": 80.0}
    assert table["from"].to_dict() == {"dann": "one", "dann (weight=0.3)": "two"}
    text = Page(pages / "suites" / "toy-suite.html").text
    assert "dann (weight=0.3)" in text
    assert not re.search(r"\b65\.0\b", text), "no mean of both"


def test_no_mean_is_over_several_protocols(tmp_path: Path) -> None:
    """The same pair of images of 32 and of 64 pixels, half of them right and all."""
    for folder, changes, right in (("one", {}, 20), ("two", {"image_size": 64}, 40)):
        write(Store(tmp_path / folder), cell("dann", **changes), right)
    pages = site(tmp_path / "site", str(tmp_path / "one"), str(tmp_path / "two"))
    page = (pages / "suites" / "toy-suite.html").read_text(encoding="utf-8")
    known = re.compile(r"\d+ px|(?<=>)(?:50|75|100)\.0(?=<)|(?<=<td>)(?:one|two)(?=</td>)")
    assert [known.findall(board) for board in page.split("<h2>")[1:]] == [
        ["32 px", "50.0", "one"],
        ["64 px", "100.0", "two"],
    ]


def test_names_are_text(tmp_path: Path) -> None:
    base, store = Store(Path(SMOKE)), Store(tmp_path / "<b>odd")
    store.prepare()
    evil = '"><script>alert(1)</script>'
    for record in base.records():
        cell = record.request.cell.model_copy(update={"method": evil})
        request = record.request.model_copy(update={"cell": cell, "suite": "../<i>mine"})
        if record.request.cell.method == "dann":
            odd = record.model_copy(update={"request": request, "key": cell.key})
            store.write(odd, base.predictions(record))
    pages = site(tmp_path / "site", str(store.root))
    assert {path.parent.parent for path in pages.glob("*/*")} == {pages}, "no name leads out of the folder"
    for path in pages.rglob("*.html"):
        page = Page(path)
        assert not {"script", "b", "i"} & {*page.tags}
    assert evil in Page(next((pages / "suites").iterdir())).text


def test_file_names() -> None:
    assert slug("emoji-home@1") == "emoji-home@1"
    odd = ["a/b", "a:b", "a b", "..", ".", "é", "x" * 300, "<b>"]
    assert len({slug(name) for name in odd}) == len(odd)
    assert all(re.fullmatch(r"[\w@.-]+", slug(name)) and not slug(name).startswith(".") for name in odd)


def test_it_replaces_an_earlier_one(built: Path, tmp_path: Path) -> None:
    pages = Path(shutil.copytree(built, tmp_path / "site"))
    site(pages, TASKS)
    assert "emoji-tasks@1" in Page(pages / "index.html").text
