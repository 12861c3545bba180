"""`bench.run` from outside: scripts of users, under every start method."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.core.errors import UserError
from tests.support.checkout import python

TINY = 'methods="linear-probe", backbone="test_efficientnet.untrained", shots=0, results="out"'
SCRIPT = f"""
import bench
print("begins")
results = bench.run("smoke", {TINY})
print(*results.frame()["status"])
"""


def script(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "mine.py").write_text(text)
    return python("mine.py", cwd=folder, **environment)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a suite has been run without a main guard, two cells at once."""
    folder = tmp_path_factory.mktemp("home")
    ran = script(folder, SCRIPT.replace("shots=0", "shots=[0, 2], workers=2"))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "done done done"
    assert ran.stdout.count("begins") == 1, "workers do not import the script"
    return folder


RESULTS = f"""
import bench
results = bench.run("smoke", {TINY.replace("shots=0", "shots='0,2'")})
results.frame().to_csv("frame.csv")
results.leaderboard().to_csv("leaderboard.csv")
print(repr(results))
open("shown.html", "w").write(results._repr_html_())
print(results.report().name, results.report("tables.md").name)
"""


def test_results(home: Path) -> None:
    again = script(home, RESULTS)
    assert again.returncode == 0, again.stderr
    assert "3 recorded, 0 to run" in again.stdout
    assert "out: 3 cells, 3 done" in again.stdout
    assert again.stdout.splitlines()[-1] == "report.html tables.md"
    assert (home / "out" / "report.html").is_file()
    assert "| linear-probe |" in (home / "tables.md").read_text()
    frame = pd.read_csv(home / "frame.csv")
    records = bench.load_results(home / "out").set_index("key")
    assert {*frame["key"]} == {*records.index}
    accuracy = frame.set_index("key")["accuracy last"]
    pd.testing.assert_series_equal(accuracy, records.loc[accuracy.index, "accuracy last"], check_names=False)
    # One cell in each block, so a block's mean is the cell's own accuracy.
    board = pd.read_csv(home / "leaderboard.csv")
    expected = sorted(
        zip(frame["kind"], frame["shots"].astype(int), frame["accuracy last"].round(6), strict=True)
    )
    found = sorted(zip(board["kind"], board["shots"].astype(int), board["accuracy"].round(6), strict=True))
    assert found == expected
    assert (home / "shown.html").read_text().count("<table") == 3


GUARDED = f"""
import multiprocessing
import bench

def work():
    results = bench.run("smoke", {TINY.replace('"out"', '"child"')})
    print(*results.frame()["status"], flush=True)

if __name__ == "__main__":
    bench.run("smoke", {TINY})
    child = multiprocessing.get_context("METHOD").Process(target=work, daemon=True)
    child.start()
    child.join(200)
    print("child", child.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_any_start_method_runs_suites_of_its_own(method: str, home: Path) -> None:
    process = script(home, GUARDED.replace("METHOD", method))
    assert process.stdout.splitlines()[-2:] == ["done", "child 0"], process.stderr


UNGUARDED = f"""
import multiprocessing
import bench
results = bench.run("smoke", {TINY})
child = multiprocessing.get_context("METHOD").Process(target=print, args=("never",))
child.start()
child.join(100)
print("child", child.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_that_imports_the_script_says_what_lacks(method: str, home: Path) -> None:
    process = script(home, UNGUARDED.replace("METHOD", method))
    assert process.stdout.splitlines()[-1] == "child 1", process.stderr
    assert process.stdout.count("suite smoke:") == 1
    lines = [line for line in process.stderr.splitlines() if not line.startswith("[")]
    (line,) = lines
    assert line.startswith("error: bench.run was called while a child process imports the main script")
    assert 'if __name__ == "__main__":' in line


def test_a_script_from_standard_input(home: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-"], input=SCRIPT, cwd=home, capture_output=True, text=True, check=False
    )
    assert process.stdout.splitlines()[-1] == "done", process.stderr


OWN = """
import numpy as np, bench
shade = np.random.default_rng(0).integers(0, 100, (24, 16, 16), np.uint8)
items = [(image + 100 * (n % 2), n % 2) for n, image in enumerate(shade)]
results = bench.run(
    data={"paper": items, "board": [(255 - image, label) for image, label in items]}, image_size=32,
    methods=["linear-probe", "full-finetune"], source="paper", target="board", shots=2, steps=8, seeds=[1],
    backbone="test_efficientnet.untrained", set={"full-finetune": {"learning_rate": 0.002}}, results="own",
)
frame = results.frame()
print(*frame["status"], *frame["pair"].unique(), *frame["overrides"].unique(), sep="|")
print(results.report())
"""


def test_own_images(home: Path) -> None:
    process = script(home, OWN)
    assert process.returncode == 0, process.stderr
    *_, said, page = process.stdout.splitlines()
    assert said.startswith("done|done|done|done|pretrained → board|paper → board|")
    assert "learning_rate" in said
    assert "dict-" in (home / page).read_text()


ROWS = """
import bench, pandas as pd
frame = pd.DataFrame({"owed": [n % 2 + n / 100 for n in range(80)], "age": range(80),
                      "late": [n % 2 for n in range(80)], "country": ["DE"] * 40 + ["ES"] * 40})
frame.to_csv("people.csv", index=False)
asked = dict(label="late", domain="country", source="DE", target="ES", shots=0, steps=8, seeds=0,
             methods="linear-probe", backbone="mlp.untrained")
for data, out in (("people.csv", "file"), (frame, "object")):
    results = bench.run(data=data, results=out, **asked)
    print(*results.frame()[["status", "modality", "metric", "pair"]].iloc[0], results.report().exists())
"""


def test_own_rows_are_named_as_on_the_command_line(home: Path) -> None:
    """Of a file and of a frame; the page is built with the same names."""
    process = script(home, ROWS)
    assert process.returncode == 0, process.stderr
    said = [line for line in process.stdout.splitlines() if line.startswith("done")]
    assert said == ["done table auc DE → ES True"] * 2


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ({}, r"say which suite, as bench.run\('quick'\), or hand over your own items"),
        ({"suite": "smok"}, "unknown suite 'smok': did you mean 'smoke'"),
        (
            {"suite": "smoke", "method": "dann"},
            "unknown option of bench.run 'method': did you mean 'methods'",
        ),
        ({"suite": "smoke", "methods": "dannn"}, "unknown method 'dannn': did you mean 'dann'"),
        ({"suite": "smoke", "methods": 3.5}, "methods takes a text or a list of them, not a float"),
        ({"suite": "smoke", "methods": []}, "methods names nothing"),
        ({"suite": "smoke", "workers": 0}, "workers takes a whole number from 1 on, not '0'"),
        ({"suite": "smoke", "workers": 10**6}, "workers: at most 4096"),
        ({"suite": "smoke", "steps": 2.5}, "steps takes a whole number from 1 on, not '2.5'"),
        ({"suite": "smoke", "set": {"dann.weight": 1}}, "set takes {'method'"),
        ({"suite": "smoke", "device": "gpu"}, "gpu"),
        ({"data": "nowhere"}, "data: there is no 'nowhere'"),
        ({"data": 3}, "data is of type int"),
        ({"data": [1], "label": "kind"}, "label = 'kind' names a column of a table, and data is a list"),
        ({"data": ".", "label": 3}, "label takes a text, not '3'"),
        ({"suite": "smoke", "domain": "where"}, "domain = 'where' says what is in your own table"),
        ({"data": ".", "label": "kind"}, "--label kind names a column of a table, and '.*' is a folder"),
        ({"data": ".", "modality": "rows"}, "unknown modality 'rows'"),
    ],
)
def test_what_is_wrong_is_one_line(
    call: dict[str, object], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=line) as error:
        bench.run(**call)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
