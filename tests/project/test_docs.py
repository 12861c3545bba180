"""What the documents say works."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from bench.commands.results.report import END, START, update
from bench.core.errors import UserError
from bench.method.registry import configure, select_methods
from bench.records.store import Store
from bench.report.render.markdown import markdown_table
from bench.report.scores.frame import load_frame
from bench.spec.matrix.suite import suite_names
from tests import structure
from tests.support.cells import answer, tiny_cell
from tests.support.checkout import ROOT, install

PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))


def anchors(page: Path) -> set[str]:
    """Names that links can lead to: headings in lower case, spaces as dashes, punctuation left out."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    kept = (
        "".join(c for c in h.lower() if c in "-_ " or unicodedata.category(c)[0] in "LN") for h in headings
    )
    return {heading.replace(" ", "-") for heading in kept}


def examples() -> list[str]:
    """Methods that the documents show, as whole files."""
    pages = (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "how-to" / "methods.md")
    return [
        code for page in pages for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    ]


@pytest.mark.parametrize("code", examples(), ids=lambda code: re.findall(r"class (\w+)", code)[0])
def test_the_examples_of_methods_are_methods(code: str, site: Path, tmp_path: Path) -> None:
    (name,) = re.findall(r"^class (\w+)", code, re.MULTILINE)
    install(site, f"my-method = someone_{name}:{name}", **{f"someone_{name}": code})
    cells = [tiny_cell("my-method", shots=shots) for shots in (0, 2)]
    for cell in cells:
        record, predictions = answer(cell, tmp_path / "artifacts")
        assert record.outcome.status == "done", record.outcome
        assert predictions
    assert type(configure("my-method", {})).__name__ == name
    assert sum(bool(line.strip()) for line in code.splitlines()) < 60


def test_examples_show_each_kind() -> None:
    text = "".join(examples())
    assert all(f"def {verb}(" in text for verb in ("loss", "align", "updates", "stream"))


def test_suites_and_methods_that_are_named_exist() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"--suite ([a-z][\w-]*)(?![\w.-]*\.toml)", text):
            assert name in suite_names(), f"{page.name}: suite {name}"
        for names in re.findall(r"--methods? '?([a-z][\w,:*-]*)", text):
            for name in names.split(","):
                assert name == "my-method" or select_methods([name]), f"{page.name}: method {name}"


def test_links_between_documents_lead_somewhere() -> None:
    assert len(PAGES) > 30
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target, place in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name}: {target}"
            assert not place or place in anchors(there), f"{page.name}: {target}#{place}"


def test_every_document_can_be_reached() -> None:
    """From the README, by links; a link to a folder leads to all that lies in it."""
    reached, ahead = set(), {ROOT / "README.md"}
    while ahead:
        reached.add(page := ahead.pop())
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            there = (page.parent / target).resolve()
            found = there.rglob("*.md") if there.is_dir() else [there]
            ahead |= {path for path in found if path.suffix == ".md"} - reached
    assert {*PAGES} - reached == {ROOT / "CHANGELOG.md"}


def test_paths_of_documents_in_the_code_exist() -> None:
    files = [
        path for folder in ("bench", "methods", "report", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    for path in files:
        for name in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{path.relative_to(ROOT)}: {name}"


def test_the_picture_of_the_layers_is_current() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (drawn,) = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert drawn == structure.picture(), "paste what `python -m tests.structure --picture` prints"
    place = {line.split("[")[0].strip(): n for n, line in enumerate(drawn.splitlines()) if "[" in line}
    arrows = re.findall(r"(\w+) --> (\w+)", drawn)
    assert len(arrows) > 20
    assert all(place[above] < place[below] for above, below in arrows)


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")), ids=lambda p: p.stem
)
def test_a_decision_has_its_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(page.stem[:4])}. ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "measurements").glob("*.md")), ids=lambda p: p.stem)
def test_measurements_are_dated(page: Path) -> None:
    assert re.search(r"20\d\d-\d\d-\d\d", page.read_text(encoding="utf-8"))


def test_decisions_are_counted() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(page.stem[:4]) for page in pages] == [*range(1, len(pages) + 1)]


def test_tables_of_a_document_are_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.prepare()
    store.write(*answer(tiny_cell("linear-probe"), tmp_path / "artifacts"))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\nold\n{END}\nafter\n", encoding="utf-8")
    assert update(str(store.root), str(page)) == page
    table = markdown_table(load_frame(store), "linear-probe")
    assert "linear-probe" in table
    assert page.read_text(encoding="utf-8") == f"before\n{START}\n{table}{END}\nafter\n"
    page.write_text("nothing here", encoding="utf-8")
    with pytest.raises(UserError, match="has no place for tables: write '<!-- results:start -->'"):
        update(str(store.root), str(page))
    assert page.read_text(encoding="utf-8") == "nothing here"


def test_the_readme_has_a_place_for_its_tables() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(START) == text.count(END) == 1
    assert text.index(START) < text.index("| method |") < text.index(END)
