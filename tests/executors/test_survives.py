"""What a run comes through: kills, crowds, full disks, data that changes under it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bench.commands.results.maintenance import restore, verify
from bench.commands.results.report import build
from bench.core.errors import UserError
from tests.data.pictures import as_folders, jpeg, pictures
from tests.quick import quick_cell, run_quick
from tests.support.checkout import bench
from tests.torture.disks import full_disk, read_only, small_disk
from tests.torture.kills import quick_storm

SUITE = """
description = "Own images."
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["linear-probe"]
budget = { steps = 8, batch_size = 8, evaluations = 1 }

[[scenarios]]
kind = "cross-domain"
shots = [1]
"""


def test_kills(tmp_path: Path) -> None:
    found = quick_storm(tmp_path, kills=6, seed=3, cells=20)
    assert found.kills == 6
    assert found.records >= 20
    assert found.harm == 0, found


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    with small_disk(tmp_path / "probe", 100) as possible:
        pass
    if not possible:
        pytest.skip("this user may not mount a file system")
    return tmp_path / "disk"


def test_full_disk(disk: Path) -> None:
    whole, said = full_disk(disk)
    assert 0 < whole < 100
    assert re.fullmatch(
        r"cannot write results to '.*': No space left on device; what is recorded is kept", said
    )


def test_read_only_disk(disk: Path) -> None:
    assert "Read-only file system; choose another folder with --results" in read_only(disk)


def test_a_page_of_a_read_only_folder(disk: Path, tmp_path: Path) -> None:
    with small_disk(disk, 1000) as mounted:
        assert mounted
        run_quick(disk / "results", [quick_cell(0)])
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(UserError) as told:
            build(str(disk / "results"))
        page = disk / "results" / "report.html"
        assert str(told.value) == f"cannot write '{page}': Read-only file system"
        assert build(str(disk / "results"), str(tmp_path / "page.html")).exists()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    as_folders(tmp_path / "mine", pictures(["shop", "site"], ["bolt", "nut", "screw"], 8))
    (tmp_path / "tiny.toml").write_text(SUITE)
    return tmp_path / "mine"


def run(mine: Path, *options: str) -> Any:
    where = ("--suite", "tiny.toml", "--data", str(mine), "--results", "out")
    return bench("run", *where, *options, cwd=mine.parent, BENCH_CACHE=str(mine.parent / "cache"))


def test_data_that_changes_and_breaks_between_runs(mine: Path) -> None:
    """Changed images make records stale; broken ones are named, and what is recorded stays."""
    first = run(mine)
    assert first.returncode == 0, first.stderr
    assert ", 2 to run" in first.stdout
    assert ", 0 to run" in run(mine).stdout
    image = next((mine / "shop" / "nut").iterdir())
    image.write_bytes(jpeg(12345))
    changed = run(mine)
    assert changed.returncode == 0
    assert "2 stale (other images; run again), 2 to run" in changed.stdout

    image.write_bytes(image.read_bytes()[:200])
    broken = run(mine)
    assert broken.returncode == 2
    assert broken.stderr.count("\n") == 1
    assert re.search(rf"^error: shop: cannot read image nut/{image.name} \(.*--skip-bad", broken.stderr)
    records = [json.loads(path.read_text()) for path in (mine.parent / "out").glob("records/??/*.json")]
    assert [record["outcome"]["status"] for record in records] == ["done", "done"]
    assert verify(str(mine.parent / "out")) == 0


def test_one_question_whatever_the_paths(mine: Path) -> None:
    """Relative from elsewhere, with dots, by links: the same cells in the same folder."""
    assert run(mine).returncode == 0
    below = mine.parent / "below" / "deep"
    below.mkdir(parents=True)
    (below / "data").symlink_to("../../mine")
    (below / "out").symlink_to(mine.parent / "out")
    (below / "nowhere").symlink_to("nothing")
    cache = {"BENCH_CACHE": str(mine.parent / "cache")}
    suite = ("--suite", "../../tiny.toml")
    for data, results in (("../../mine/.", "../../below/../out/"), ("data", "out")):
        found = bench("run", *suite, "--data", data, "--results", results, "--plan", cwd=below, **cache)
        assert ", 2 recorded, 0 to run" in found.stdout, found.stderr
    found = bench("run", *suite, "--data", "data", "--results", "nowhere", cwd=below, **cache)
    assert found.returncode == 2
    assert found.stderr == (
        "error: cannot write results to 'nowhere': no folder; choose another folder with --results\n"
    )
    assert bench("results", "merge", "out", "../../out", cwd=below).returncode == 2, "they are one"


def test_a_run_that_fails_leaves_done_records(mine: Path) -> None:
    """Hours of work are not lost to a limit that was too short, or to a typo in a method."""
    # So long that each cell is at work when its time is over.
    steps = ("--methods", "full-finetune", "--steps", "300")
    assert run(mine, *steps).returncode == 0
    out = mine.parent / "out"
    before = {path: path.read_bytes() for path in (out / "records").glob("??/*")}
    assert len(before) == 4
    again = run(mine, *steps, "--fresh", "--timeout", "0.01")
    assert again.returncode == 1
    assert again.stderr.count("took longer than 0.01 s; was at: ") >= 2
    assert again.stderr.count("; its earlier record stays\n") == 4, "as it happens and at the end"
    assert {path: path.read_bytes() for path in (out / "records").glob("??/*")} == before
    assert run(mine, *steps).returncode == 0
    listed = bench("results", "versions", "out", cwd=mine.parent, COLUMNS="200").stdout
    assert listed.count("attempt") == 2
    assert listed.count("failed: took longer than 0.01 s") == 2
    assert verify(str(out)) == 0
    next(path for path in before if path.suffix == ".safetensors").unlink()
    torn = run(mine, *steps)
    assert torn.returncode == 1
    assert "unreadable: full-finetune" in torn.stderr
    assert "bench results verify out" in torn.stderr


def test_a_record_that_goes_away_during_the_run_is_made_again(mine: Path) -> None:
    """Exit code 0 says that every record is there, not that each was there once."""
    records = mine.parent / "out" / "records"

    def take_away() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            for path in records.glob("??/[!.]*.json"):
                path.unlink()
                return
            time.sleep(0.005)

    thief = threading.Thread(target=take_away)
    thief.start()
    found = run(mine)
    thief.join()
    assert found.returncode == 0, found.stderr
    assert "1 records have gone away meanwhile: their cells are run again" in found.stdout
    assert len([*records.glob("??/*.json")]) == 2


def test_a_stale_record_that_is_left_is_said_to_be(mine: Path) -> None:
    """As one that was restored while the run that had replaced it went on."""
    assert run(mine).returncode == 0
    next((mine / "shop" / "nut").iterdir()).write_bytes(jpeg(12345))
    out = mine.parent / "out"

    def bring_back() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            for path in (out / "versions").glob("*/1.json"):
                with contextlib.suppress(UserError):
                    restore(str(out), path.parent.name, 1)
                    return
            time.sleep(0.005)

    restorer = threading.Thread(target=bring_back)
    restorer.start()
    found = run(mine)
    restorer.join()
    assert found.returncode == 1, found.stdout
    assert "stale records are left (other images): the same command runs them again" in found.stderr
    assert run(mine, "--keep-stale").returncode == 0
    assert "1 stale (other images; run again), 1 to run" in run(mine, "--plan").stdout


def test_a_decode_cache_that_is_damaged_is_made_anew(mine: Path) -> None:
    first = run(mine)
    assert first.returncode == 0, first.stderr
    arrays = sorted((mine.parent / "cache" / "decoded").glob("*/*.npy"))
    assert len(arrays) == 2
    whole = [path.read_bytes() for path in arrays]
    arrays[0].write_bytes(whole[0][: len(whole[0]) // 2])
    arrays[1].write_bytes(b"garbage")
    again = run(mine, "--fresh", "--no-share")
    assert again.returncode == 0, again.stderr
    assert [path.read_bytes() for path in arrays] == whole


def test_a_domain_whose_name_leads_outside(tmp_path: Path) -> None:
    """Names in a table are data: nothing is written where they point."""
    rows = ["path,domain,label"]
    (tmp_path / "home").mkdir()
    for d, domain in enumerate(["../../../outside", "<b>\x1b[31m"]):
        for label in ("bolt", "nut"):
            for number in range(4):
                name = f"{d}-{label}-{number}.jpg"
                (tmp_path / "home" / name).write_bytes(
                    jpeg(d * 100 + number, shade=60 + 90 * (label == "nut"))
                )
                rows.append(f"{name},{domain},{label}")
    (tmp_path / "home" / "mine.csv").write_text("\n".join(rows))
    (tmp_path / "home" / "tiny.toml").write_text(SUITE)
    arguments = ("run", "--suite", "tiny.toml", "--data", "mine.csv", "--results", "out")
    process = bench(*arguments, cwd=tmp_path / "home", BENCH_CACHE=str(tmp_path / "home" / "cache"))
    assert process.returncode == 0, process.stderr
    assert "\x1b" not in process.stdout + process.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    page = (tmp_path / "home" / "out" / "report.html").read_text(encoding="utf-8")
    assert "<b>\x1b" not in page
    assert "&lt;b&gt;" in page
