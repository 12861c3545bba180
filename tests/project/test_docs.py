"""What the documents say works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.commands.results.report import END, START, update
from bench.core.errors import UserError
from bench.method.registry import method_modules
from bench.records.store import Store
from bench.report.render.markdown import markdown_table
from bench.report.scores.frame import load_frame
from bench.spec.matrix.suite import suite_names
from tests.support.cells import answer, tiny_cell
from tests.support.checkout import ROOT, install


def test_the_example_of_a_method_is_one(site: Path, tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    install(site, "deep-coral = someone_coral:DeepCoral", someone_coral=code)
    for shots in (0, 2):
        record, predictions = answer(tiny_cell("deep-coral", shots=shots), tmp_path / "artifacts")
        assert record.outcome.status == "done", record.outcome
        assert record.adapts
        assert predictions


def test_suites_and_methods_that_are_named_exist() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"--suite ([\w-]+)(?![\w.-]*\.toml)", text):
            assert name in suite_names(), f"{page.name}: suite {name}"
        for names in re.findall(r"--methods? ([\w,-]+)", text):
            for name in names.split(","):
                assert name in {*method_modules(), "my-method"}, f"{page.name}: method {name}"


def test_links_between_documents_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


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
