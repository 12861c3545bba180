"""Tables and figures as files: read back, they say what the report says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from PIL import Image

from bench.records.store import Store
from bench.report.export.figures import FIGURE_FORMATS
from bench.report.export.formats import TABLE_FORMATS, harmless, tex
from bench.report.export.table import plain, table_by_block
from bench.report.export.writer import export
from bench.report.scores.frame import load_frame
from bench.report.scores.supervision import Supervision
from bench.report.statistics.summary import mean_accuracy
from bench.report.tables.formats import count, percent
from bench.report.tables.leaderboard import Block
from tests.report import synthetic
from tests.support.checkout import bench

PAIRS = [("photo", "sketch"), ("sketch", "photo"), (None, "photo"), (None, "sketch")]
ODD = '=cmd|"/c calc"!A1, <b>50% of $x_1$ & {y}\\z~^#</b>'


def exported(store: Store, folder: Path) -> tuple[int, int]:
    return export(load_frame(store), folder, "linear-probe", "full-finetune")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    synthetic.fill(Store(root / "results"), {"linear-probe": 20, "dann": 26, ODD: 8}, PAIRS)
    exported(Store(root / "results"), root / "out")
    return root / "out"


def test_a_table_that_has_no_row_any_more_goes(store: Store, tmp_path: Path) -> None:
    tables = tmp_path / "out" / "tables"
    store.write(synthetic.record(synthetic.cell("maml"), "failed", "diverged"), {})
    exported(store, tmp_path / "out")
    assert {path.name for path in tables.glob("reasons.*")} == {
        f"reasons{suffix}" for suffix in TABLE_FORMATS
    }
    (tables / "own.csv").touch()
    synthetic.fill(store, {"maml": 20}, [("photo", "sketch")], [5])
    exported(store, tmp_path / "out")
    assert not list(tables.glob("reasons.*"))
    assert (tables / "own.csv").exists()


def test_a_figure_that_is_not_drawn_any_more_goes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name, methods in (("more", {"linear-probe": 20, "dann": 26}), ("fewer", {"linear-probe": 20})):
        results = Store(tmp_path / name)
        synthetic.fill(results, methods, PAIRS)
        exported(results, out)
        (out / "figures" / "own.svg").touch()
        files = {str(path.relative_to(out)) for path in out.glob("*/*")} - {"figures/own.svg"}
        assert set((out / "files.txt").read_text(encoding="utf-8").splitlines()) == files
        assert any("dann" in file for file in files) == (name == "more")
    (out / "files.txt").write_text("../more/suite.json\nfigures/../../more\n", encoding="utf-8")
    exported(results, out)
    assert (tmp_path / "more").is_dir(), "nothing outside goes"


def test_every_format_of_every_table_holds_the_same(filled: Path) -> None:
    names = {path.stem for path in (filled / "tables").iterdir()}
    assert {
        "leaderboard",
        "comparisons",
        "gains",
        "negative-transfer",
        "classes",
        "speed",
        "records",
    } <= names
    for name in names:
        paths = {suffix: filled / "tables" / f"{name}{suffix}" for suffix in TABLE_FORMATS}
        data, text = pd.read_parquet(paths[".parquet"]), pd.read_csv(paths[".csv"])
        assert list(map(harmless, data.columns)) == list(text.columns)
        assert len(data) == len(text) > 0
        body = paths[".md"].read_text(encoding="utf-8")
        rows = [line for line in body.splitlines() if line.startswith("|")]
        parts = body.count("\n| ---")
        assert len(rows) == len(data) + 2 * parts
        latex = paths[".tex"].read_text(encoding="utf-8")
        assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == parts
        assert len(re.findall(r"\\\\$", latex, re.MULTILINE)) == len(data) + parts
    board = pd.read_parquet(filled / "tables" / "leaderboard.parquet")
    frame = load_frame(Store(filled.parent / "results"))
    for row in board.itertuples():
        mine = frame[(frame["kind"] == row.kind) & (frame["shots"] == row.shots)]
        mean, interval = mean_accuracy(mine[mine["method"] == row.method])
        assert row.accuracy == pytest.approx(mean)
        assert interval
        assert (row.accuracy_low, row.accuracy_high) == pytest.approx(tuple(interval))


def test_names_cannot_act(filled: Path) -> None:
    """Neither as a formula, nor as a column, nor as LaTeX or Markdown."""
    for path in (filled / "tables").glob("*.csv"):
        text = pd.read_csv(path, dtype=str, keep_default_na=False)
        for value in [*text.columns, *text.to_numpy().ravel()]:
            assert not re.match(r"[=@\t\r]|[+-](?![\d.])", value), path
    latex = (filled / "tables" / "leaderboard.tex").read_text(encoding="utf-8")
    assert r"\$x\_1\$ \& \{y\}\textbackslash{}z" in latex
    assert "<b>" not in latex + (filled / "tables" / "leaderboard.md").read_text().replace(r"\<b\>", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_formulas_are_behind_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert harmless(-1.5) == -1.5
    assert harmless("a-b") == "a-b"


def test_a_table_by_hand() -> None:
    block = Block("cross-domain", Supervision(5))
    columns = {"method": plain, "accuracy": percent, "accuracy_low": percent, "accuracy_high": percent}
    rows = [
        (block, "a_b", 50.04, 40.0, 60.0, 3),
        (block, "c", None, None, None, 0),
    ]
    made = table_by_block("t", "Title", {**columns, "cells": count}, rows)
    assert TABLE_FORMATS[".csv"](made).decode() == (
        "kind,shots,method,accuracy,accuracy_low,accuracy_high,cells\n"
        "cross-domain,5,a_b,50.04,40.0,60.0,3\n"
        "cross-domain,5,c,,,,0\n"
    )
    assert TABLE_FORMATS[".md"](made).decode() == (
        "**Title: cross-domain, 5 labelled target images per class**\n\n"
        "| method | accuracy | accuracy, 95 % | cells |\n"
        "| --- | ---: | --- | ---: |\n"
        "| a\\_b | 50.0 | 40.0 to 60.0 | 3 |\n"
        "| c | – | – | 0 |\n"
    )
    assert r"a\_b & 50.0 & 40.0 to 60.0 & 3 \\" in TABLE_FORMATS[".tex"](made).decode()
    assert tex("a\x00\nb −1 → <c>") == r"a b $-$1 $\rightarrow$ \textless{}c\textgreater{}"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="LaTeX is not installed")
def test_latex_sets_the_tables(filled: Path, tmp_path: Path) -> None:
    inputs = "\n".join(rf"\input{{{path}}}" for path in sorted((filled / "tables").glob("*.tex")))
    head = r"\documentclass{article}\usepackage{booktabs}\begin{document}\extrafloats{500}"
    (tmp_path / "all.tex").write_text(head + "\n" + inputs + "\n" + r"\end{document}")
    process = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=batchmode", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert process.returncode == 0, (tmp_path / "all.log").read_text(errors="replace")[-2000:]


def test_figures_are_whole_and_in_the_ink_of_print(filled: Path) -> None:
    folder = filled / "figures"
    names = sorted(path.stem for path in folder.glob("*.svg"))
    assert len(list(folder.iterdir())) == len(FIGURE_FORMATS) * len(names)
    assert {name.split("-")[0] for name in names} == {
        *("panel", "shots", "heat", "seconds", "memory", "curve", "ranks", "profile")
    }
    assert "heat-cross-domain-5-0-cmd-c-calc-A1-b-50-of-x_1-y-z-b" in names
    for name in names:
        svg = (folder / f"{name}.svg").read_text(encoding="utf-8")
        ElementTree.fromstring(svg)
        assert "currentColor" not in svg
        assert not set(re.findall(r"#0[1-9]0[1-9]0[1-9]", svg)), "a stand-in is left"
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        with Image.open(folder / f"{name}.png") as image:
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
            assert image.width > 300


def test_the_same_records_make_the_same_files(store: Store, tmp_path: Path) -> None:
    synthetic.fill(store, {"linear-probe": 20}, shots=[5])
    for name in ("one", "other"):
        exported(store, tmp_path / name)
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) > 40
    for path in files:
        other = tmp_path / "other" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes(), path


def test_damage_is_exported_as_such(store: Store, tmp_path: Path) -> None:
    synthetic.fill(store, {"linear-probe": 20}, shots=[5])
    store.path(store.keys()[0]).write_text('{"key": "half')
    store.write(synthetic.record(synthetic.cell("maml"), "failed", "=diverged\n\nat step 3"), {})
    process = bench("export", "out", "--results", str(store.root), cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "out/tables: " in process.stdout
    assert process.stderr.startswith("warning: unreadable record")
    reasons = pd.read_csv(tmp_path / "out" / "tables" / "reasons.csv")
    assert list(reasons["status"]) == ["failed", "unreadable"]
    assert reasons["reason"][0] == "'=diverged\n\nat step 3"


def test_nothing_to_export_is_one_line(store: Store, tmp_path: Path) -> None:
    store.prepare()
    (tmp_path / "file").touch()
    synthetic.fill(Store(tmp_path / "some"), {"linear-probe": 20}, shots=[5])
    for arguments, said in (
        (("out", "--results", str(store.root)), "no records in"),
        (("out",), "nothing in 'results' yet"),
        (("file", "--results", "some"), "cannot write to 'file'"),
    ):
        process = bench("export", *arguments, cwd=tmp_path)
        assert process.returncode == 2
        assert said in process.stderr
        assert len(process.stderr.splitlines()) == 1
