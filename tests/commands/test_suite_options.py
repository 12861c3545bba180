"""Options of a suite: what they change is what an edited file would, for every verb that takes one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.commands.options import SuiteOptions, list_parts
from bench.commands.suite_options import select_suite
from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.method.registry import preset, select_methods
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite, suite_names
from tests.commands.test_cli import call
from tests.data.pictures import as_folders, pictures

SUITE = """
description = "A suite of the user's own."
{dataset}
image_size = {size}
backbones = ["test_efficientnet.untrained"]
methods = ["linear-probe", "dann"]
seeds = {seeds}
budget = {{ steps = {steps}, batch_size = 8, evaluations = 2 }}

[[scenarios]]
kind = "cross-domain"
sources = {sources}
targets = {targets}
shots = {shots}

[[scenarios]]
kind = "pretrained"
targets = {targets}
shots = {few}
"""
PLAIN = {
    "dataset": 'dataset = "emoji-home"',
    "size": 32,
    "seeds": [0],
    "steps": 8,
    "sources": '["google"]',
    "targets": '["twitter"]',
    "shots": [0, 3],
    "few": [3],
}


def suite_file(folder: Path, name: str = "mine", **changes: object) -> str:
    """A suite file; files of one name in different folders have the same cells if their content is."""
    path = folder / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(SUITE.format(**{**PLAIN, **changes}))
    return str(path)


def keys(options: SuiteOptions) -> set[str]:
    suite = select_suite(options)
    return {cell.key for cell in plan(suite, load_card(suite.dataset))}


@pytest.mark.parametrize(
    ("options", "edited"),
    [
        ({"steps": 20}, {"steps": 20}),
        ({"image_size": 48}, {"size": 48}),
        ({"shots": ["0", "all", "1"]}, {"shots": '[0, "all", 1]', "few": '["all", 1]'}),
        ({"seeds": ["4", "2"]}, {"seeds": [4, 2]}),
        (
            {"source": ["google,apple"], "target": ["windows", "facebook"]},
            {"sources": '["google", "apple"]', "targets": '["windows", "facebook"]'},
        ),
        (
            {"steps": 20, "image_size": 48, "shots": ["1"], "target": ["apple"]},
            {"steps": 20, "size": 48, "shots": [1], "few": [1], "targets": '["apple"]'},
        ),
    ],
)
def test_options_are_an_edited_file(
    options: dict[str, object], edited: dict[str, object], tmp_path: Path
) -> None:
    plain, other = suite_file(tmp_path), suite_file(tmp_path / "other", **edited)
    changed = keys(SuiteOptions(plain, **options))  # type: ignore[arg-type]
    assert changed == keys(SuiteOptions(other))
    assert changed != keys(SuiteOptions(plain))


@pytest.mark.parametrize("name", suite_names())
def test_no_options_change_nothing(name: str) -> None:
    suite = load_suite(name)
    if suite.dataset:
        methods = select_methods(suite.methods)
        found = select_suite(SuiteOptions(name))
        # Presets stand in it as if they were written out.
        assert found.set.keys() - suite.set.keys() <= {each for each in methods if preset(each, suite.preset)}
        assert found == suite.model_copy(update={"methods": methods, "set": found.set})


def test_a_fault_of_the_whole_names_no_place() -> None:
    with pytest.raises(UserError, match=r"with these options: unsplit = true tests on all"):
        select_suite(SuiteOptions("office-home-literature", shots=["5"]))


def test_names_with_commas() -> None:
    assert list_parts("--source", ["a, b", "c,d"], ["a, b", "c", "d"]) == ["a, b", "c", "d"]
    assert list_parts("--source", ["a,b", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "items"), [("own-texts", "texts"), ("own-rows", "rows"), ("own-tasks", "images")]
)
def test_a_suite_for_own_items_asks_for_its_kind(
    name: str, items: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_OWN_DATA", raising=False)
    with pytest.raises(UserError, match=f"suite '{name}' is for one's own {items}: say which with --data"):
        select_suite(SuiteOptions(name))


# One's own images ------------------------------------------------------------------------------------

CLASSES = ["bolt", "nut", "screw", "washer"]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Own images of two domains, and a cache of their own."""
    for name in ("BENCH_DATA", "BENCH_SKIP_BAD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    as_folders(tmp_path / "parts", pictures(["shop", "site"], CLASSES, 8))
    monkeypatch.setenv("BENCH_OWN_DATA", str(tmp_path / "parts"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_suite_for_own_images_keeps_what_it_says(mine: Path) -> None:
    file = suite_file(mine, dataset='classes = ["nut", "bolt"]', sources='["site"]', targets='["shop"]')
    suite = select_suite(SuiteOptions(file))
    assert suite.classes == ["nut", "bolt"]
    assert [(table.sources, table.targets) for table in suite.scenarios] == [
        (["site"], ["shop"]),
        ("all", ["shop"]),
    ]
    assert (suite.name, suite.dataset) == ("mine-parts", "parts")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": "", "sources": '["sjop"]', "targets": '["site"]'}, "'sjop': did you mean 'shop'"),
        ({"dataset": "classes = 9", "sources": '["shop"]', "targets": '["site"]'}, "classes = 9"),
        (
            {"dataset": 'classes = ["nutt", "bolt"]', "sources": '["shop"]', "targets": '["site"]'},
            "'nutt': did you mean 'nut'",
        ),
    ],
)
def test_what_does_not_fit_the_images_is_refused(mine: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        keys(SuiteOptions(suite_file(mine, **changes)))


def test_a_suite_of_another_dataset_says_that_its_names_are_not_these(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = select_suite(SuiteOptions(suite_file(mine)))
    assert suite.scenarios[0].sources == "all"
    said = capsys.readouterr().err
    assert said == (
        "suite 'mine' names domains or classes of emoji-home: all of parts are taken instead, "
        "but for what --source and --target say\n"
    )
    select_suite(SuiteOptions("recipes"))
    named = capsys.readouterr().err
    assert named.count("\n") <= 1


VERBS: dict[str, tuple[str, ...]] = {
    "run": ("run", "--plan"),
    "tune": ("tune", "--method", "full-finetune", "--trials", "1"),
    "recommend": ("recommend",),
    "check-search": ("check-search", "--draws", "2"),
    "rank-backbones": ("rank-backbones", "--backbones", "test_efficientnet.untrained"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_own_images(
    verb: str, mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt domain is found in the folder's own: the verb has looked there."""
    code, _, err = call(
        monkeypatch, capsys, *VERBS[verb], "--data", "parts", "--target", "sitte", "--image-size", "32"
    )
    assert (code, err.count("\n")) == (2, 1), err
    assert "unknown domain of parts 'sitte': did you mean 'site'?" in err


def test_ranking_goes_on_without_a_candidate(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network of fixed size in the list is told with its reason, and no traceback."""
    arguments = ("--data", "parts", "--target", "shop,site", "--image-size", "33", "--backbones")
    broken = "test_efficientnet.untrained,levit_128s.untrained"
    code, out, err = call(monkeypatch, capsys, "rank-backbones", *arguments, broken)
    assert code == 0, err
    assert out.count("not ranked: levit_128s.untrained: ") == 2
    assert "parts/shop" in out
    assert "parts/site" in out
    assert "there is nothing to compare it with" in out
    assert "Traceback" not in err
    code, _, err = call(monkeypatch, capsys, "rank-backbones", *arguments, "levit_128s.untrained")
    assert code == 2
    assert err.splitlines()[-1].startswith("error: no candidate can be ranked: levit_128s.untrained: ")


def test_shots_of_some_cells_are_told_once_and_skipped(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(mine / "parts" / "site" / "nut")
    few = [p for p in pictures(["shop", "site"], CLASSES, 8) if p[:2] == ("site", "nut")][:5]
    as_folders(mine / "parts", few)
    file = suite_file(mine, dataset="", sources='["shop"]', targets='["site"]')
    run = ("run", "--suite", file, "--data", "parts", "--methods", "linear-probe", "--results", "out")
    line = "4 shots of parts/site: its smallest class 'nut' has 3 training images (2 cells)"
    code, out, _ = call(monkeypatch, capsys, *run, "--shots", "1,4", "--plan")
    assert code == 0
    assert f"will be skipped: {line}" in out
    assert not (mine / "out").exists()
    code, out, err = call(monkeypatch, capsys, *run, "--shots", "1,4")
    assert code == 0, err
    assert f"skipped: {line}" in err
    records = [json.loads(path.read_text()) for path in (mine / "out").glob("records/??/*.json")]
    outcomes = {(r["request"]["cell"]["scenario"]["shots"], r["outcome"]["status"]) for r in records}
    assert outcomes == {(1, "done"), (4, "skipped")}
    assert all("training images" in r["outcome"]["reason"] for r in records if r["outcome"]["reason"])
    code, out, err = call(monkeypatch, capsys, *run, "--shots", "4", "--fresh")
    assert code == 2
    assert err.startswith("error: no cell can be run: 4 shots of parts/site")


# Pages know their suite ------------------------------------------------------------------------------

Call = Callable[..., tuple[int, str, str]]


def test_report_builds_the_page_of_the_run_and_counts_what_is_missing(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = suite_file(mine, dataset="", sources='["shop"]', targets='["site"]', few=[1], shots=[1])
    run = ("run", "--suite", file, "--data", "parts", "--methods", "linear-probe", "--results", "out")
    code, _, err = call(monkeypatch, capsys, *run)
    assert code == 0, err
    page = mine / "out" / "report.html"
    built = page.read_bytes()
    page.unlink()
    assert call(monkeypatch, capsys, "report", "--results", "out", "--data", "parts")[0] == 0
    assert page.read_bytes() == built
    (path, *_) = sorted((mine / "out").glob("records/??/*.json"))
    path.unlink()
    monkeypatch.delenv("BENCH_OWN_DATA")
    Path(file).unlink()
    assert call(monkeypatch, capsys, "report", "--results", "out")[0] == 0
    said = "Unfinished: 1 of 2 cells of the suite; 1 have no record yet and are in no number here."
    assert said in page.read_text()
    assert "1 cell missing" in " ".join(page.read_text().split())
    call(monkeypatch, capsys, "report", "--results", "out", "--out", "table.md")
    assert (mine / "table.md").read_text().startswith(said)
    code, out, _ = call(monkeypatch, capsys, "export", "paper", "--results", "out")
    assert said in out
    assert "(1 of 2 cells)" in (mine / "paper" / "tables" / "leaderboard.tex").read_text()
    assert "missing" in (mine / "paper" / "tables" / "reasons.csv").read_text()
    kept = (mine / "out" / "suite.json").read_text()
    assert str(mine) not in kept


def test_a_suite_that_was_edited_since_and_one_that_is_not_known(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = suite_file(mine, dataset="", sources='["shop"]', targets='["site"]', few=[1], shots=[1])
    run = ("run", "--suite", file, "--data", "parts", "--methods", "linear-probe", "--results", "out")
    assert call(monkeypatch, capsys, *run)[0] == 0
    suite_file(mine, dataset="", sources='["shop"]', targets='["site"]', few=[1], shots=[1], steps=10)
    monkeypatch.setenv("BENCH_OWN_DATA", str(mine / "parts"))
    assert call(monkeypatch, capsys, "report", "--results", "out", "--suite", file)[0] == 0
    page = (mine / "out" / "report.html").read_text()
    assert "of 4 cells of the suite" in page
    assert "more records answer questions that the suite does not ask" in page
    (mine / "out" / "suite.json").write_text('{"suite": [[[')
    assert call(monkeypatch, capsys, "report", "--results", "out")[0] == 0
    assert "The suite of these records is not known here" in (mine / "out" / "report.html").read_text()
    for name in ("suite.json", "report.html"):
        (mine / "out" / name).unlink()
        os.mkfifo(mine / "out" / name)
    code, _, err = call(monkeypatch, capsys, "report", "--results", "out")
    assert (code, err) == (2, "error: cannot read 'out/suite.json': no regular file\n")
    (mine / "out" / "suite.json").unlink()
    assert call(monkeypatch, capsys, "report", "--results", "out")[0] == 0
    assert "</html>" in (mine / "out" / "report.html").read_text()


def test_a_preset_is_what_it_stands_for(tmp_path: Path) -> None:
    """In keys and records as if it had been written out; what is set comes first."""

    def overrides(*sets: str, top: str = "", end: str = "") -> dict[str, dict[str, object]]:
        path = Path(suite_file(tmp_path))
        text = path.read_text().replace('["linear-probe", "dann"]', '["linear-probe", "jan", "maml"]')
        path.write_text(f"{top}\n{text}{end}")
        suite = select_suite(SuiteOptions(str(path), sets=sets))
        cells = plan(suite, load_card(suite.dataset))
        # A suite that is kept beside records is planned as it stands.
        assert (
            plan(type(suite).model_validate_json(suite.model_dump_json()), load_card("emoji-home")) == cells
        )
        return {cell.method: dict(cell.overrides) for cell in cells}

    asked = 'preset = "paper"'
    paper = {"learning_rate": 0.003, "weight_decay": 0.0005}
    inner = {"inner_steps": 5, "inner_rate": 0.01}
    assert overrides() == {"linear-probe": {}, "jan": {}, "maml": {}}
    assert overrides(top=asked) == {"linear-probe": {}, "jan": paper, "maml": inner}
    mine = "[set.jan]\nlearning_rate = 0.02\n"
    assert overrides(top=asked, end=mine)["jan"] == {**paper, "learning_rate": 0.02}
    assert overrides("jan.learning_rate=0.001", top=asked, end=mine)["jan"] == {"weight_decay": 0.0005}
    # With the recipe's rates those of a preset that are equal say nothing.
    rates = "[recipe]\nlearning_rate = 0.003\n"
    assert overrides(top=asked, end=rates)["jan"] == {"weight_decay": 0.0005}
    with pytest.raises(UserError, match=r"'preset': there is no preset 'papr': did you mean 'paper'\?"):
        overrides(top='preset = "papr"')
