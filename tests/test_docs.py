"""What the documents say works."""

from __future__ import annotations

import re
from pathlib import Path

from bench.registry import method_modules
from bench.suite import suite_names
from tests.support import ROOT, answer, install, tiny_cell


def test_the_example_of_a_method_is_one(site: Path, tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    install(site, "deep-coral = someone_coral:DeepCoral", someone_coral=code)
    for shots in (0, 2):
        record, predictions = answer(tiny_cell("deep-coral", shots=shots), tmp_path / "artifacts")
        assert record.happened.status == "done", record.happened
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
