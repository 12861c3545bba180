"""Text from outside in pages and exports: what it cannot do, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.core.paths import shown_path
from bench.records.store import Store
from bench.report.export.writer import export
from bench.report.history.page import render as history
from bench.report.render.markdown import markdown_table
from bench.report.render.page import build
from bench.report.render.samples import Samples
from bench.report.render.templates import environment
from bench.report.scores.frame import load_frame
from bench.report.tables.record_links import quoted
from bench.spec.matrix.suite import ScenarioTable, Suite
from tests.report import synthetic

RAW = ("\x1b", "\u202e", "\u2066", "\x07", "\u200b")
EVIL = "a\x1b[31m\u202eb\u2066\x07\u200b"


@pytest.fixture
def evil(store: Store) -> Store:
    """Records whose names, reasons and logs hold characters that terminals and browsers obey."""
    pairs = [(f"photo{EVIL}", "sketch"), ("sketch", f"photo{EVIL}")]
    synthetic.fill(store, {"linear-probe": 20, f"dann{EVIL}": 26}, pairs)
    changed = synthetic.cell("dann", overrides={"weight": f"{EVIL}"})
    synthetic.write(store, changed, 3, data_origin=EVIL, warnings=(EVIL,))
    failed = synthetic.cell(f"=cmd|' /C calc'!A1{EVIL}")
    store.write(synthetic.record(failed, "failed", f"diverged {EVIL}", f"line 1\nline 2 {EVIL}"), {})
    return store


def test_nothing_invisible_is_in_pages_and_exports(evil: Store, tmp_path: Path) -> None:
    suite = Suite(
        name="mine",
        description=f"what for {EVIL}",
        dataset="toys",
        backbones=["tiny"],
        methods=["linear-probe"],
        scenarios=[ScenarioTable(kind="cross-domain", shots=[5])],
    )
    image = pd.Series([0] * 48, dtype="uint8").to_numpy().reshape(4, 4, 3)
    samples = Samples({f"photo{EVIL}": [(EVIL, image)]}, {f"photo{EVIL}": EVIL})
    page = build(evil.root, tmp_path / "page.html", suite, samples).read_text(encoding="utf-8")
    frame = load_frame(evil)
    texts = {"page": page, "table": markdown_table(frame, "linear-probe")}
    export(frame, tmp_path / "out", "linear-probe", "full-finetune")
    for path in (tmp_path / "out").rglob("*"):
        if path.suffix in (".csv", ".md", ".tex", ".svg"):
            texts[path.name] = path.read_text(encoding="utf-8")
    assert len(texts) > 40
    for name, text in texts.items():
        assert not [raw for raw in RAW if raw in text], name
    assert "a\\x1b[31m\\u202eb" in page
    assert "what for a\\x1b" in page
    assert "line 1\nline 2 a\\x1b" in page
    for path in (tmp_path / "out").rglob("*.parquet"):
        table = pd.read_parquet(path)
        found = "".join(str(value) for value in (*table.columns, *table.to_numpy().ravel()))
        assert not [raw for raw in RAW if raw in found], path
    reasons = pd.read_csv(tmp_path / "out" / "tables" / "reasons.csv")
    assert reasons["method"][0].startswith("'=cmd|"), "a spreadsheet computes nothing"


def test_every_page_has_the_same_environment() -> None:
    assert environment().from_string("{{ x }}").render(x="<\u202e>") == "&lt;\\u202e&gt;"
    assert "\u202e" not in history([], ["line \u202e"])


def test_folders_are_named_without_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "anna"
    (home / "things" / "results").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "things")
    assert shown_path(home / "things" / "results") == "results"
    assert shown_path(Path("results")) == "results"
    monkeypatch.chdir(tmp_path)
    assert shown_path(home / "things" / "my results") == "anna/things/my results"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert shown_path(home / "things" / "my results") == "~/things/my results"
    assert quoted("~/things/my results") == "~/'things/my results'"
    assert quoted("my results") == "'my results'"
    store = Store(home / "things" / "results")
    synthetic.fill(store, {"linear-probe": 20}, shots=[5])
    page = build(store.root).read_text(encoding="utf-8")
    assert "--results ~/things/results" in page
    assert str(home) not in page
