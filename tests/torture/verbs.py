"""Commands that write, each with a small folder to write in."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.records.store import Store
from tests.data.pictures import as_folders, pictures
from tests.quick import age
from tests.support.checkout import ROOT

SUITE = """
description = "d"
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["linear-probe", "full-finetune"]
seeds = [0]
baseline = "linear-probe"
budget = { steps = 8, batch_size = 4, evaluations = 1 }
scenarios = [{ kind = "cross-domain", sources = ["shop"], targets = ["site"], shots = [2] }]
"""
OTHERS = "the user's own"
RUN = ("run", "--suite", "mine.toml", "--data", "images", "--device", "cpu", "--results", "results/mine")

BASELINE = str(ROOT / "results" / "baselines" / "smoke")

NETWORKS = ("test_efficientnet.untrained", "test_efficientnet_ln.untrained")

BASELINES = ("results/baselines/*/*.zip",)
"""Archives of a baseline are replaced one by one, so that their content counts as it is read."""

Bench = Callable[..., None]
"""The command line in the folder, which has to succeed."""


@dataclass(frozen=True)
class Verb:
    """Command, and what prepares the folder that it works in."""

    arguments: tuple[str, ...] | Callable[[Path], tuple[str, ...]]
    """Fixed ones, or those that go with the folder."""
    prepare: Callable[[Path, Bench], None]
    module: str = ""
    """Module with the command, where it is not the program's own."""
    code: int = 0
    """Its exit code where nothing strikes."""
    removes: bool = False
    """Whether it is there to remove things."""
    random: tuple[str, ...] = BASELINES
    """Patterns of files that are not compared, such as those that no two undisturbed runs write alike."""


def images(place: Path, bench: Bench) -> None:
    """Images and a suite; nothing has been run."""
    as_folders(place / "images", pictures(("shop", "site"), ("bolt", "nut"), 6))
    (place / "mine.toml").write_text(SUITE)


def nothing(place: Path, bench: Bench) -> None:
    """An empty folder."""


def recorded(place: Path, bench: Bench) -> None:
    """A finished run, which is made once."""
    kept = place.with_name("recorded")
    if not kept.exists():
        images(place, bench)
        bench(*RUN)
        shutil.copytree(place, kept)
    shutil.copytree(kept, place, dirs_exist_ok=True)


def half_recorded(place: Path, bench: Bench) -> None:
    """A run of one of two methods, and a record of another version of its code."""
    images(place, bench)
    bench(*RUN, "--methods", "linear-probe")
    bench(*RUN, "--methods", "linear-probe", "--seeds", "1")
    store = Store(place / "results" / "mine")
    record = next(iter(store.records()))
    stale = record.digests.model_copy(update={"method": "older"})
    store.write(record.model_copy(update={"digests": stale}), store.predictions(record))


def damaged(place: Path, bench: Bench) -> None:
    """A finished run, one record of which is cut, and of another the predictions."""
    recorded(place, bench)
    bench(*RUN, "--seeds", "1,2")
    store = Store(place / "results" / "mine")
    first, second, *_ = list(store.records())
    store.path(first.key).write_bytes(store.path(first.key).read_bytes()[:200])
    path = store.predictions_path(second)
    path.write_bytes(path.read_bytes()[:-3])


def two_folders(place: Path, bench: Bench) -> None:
    """Two folders with records; in the first one has failed that is done in the second."""
    recorded(place, bench)
    bench(*RUN, "--seeds", "1")
    mine, other = Store(place / "results" / "mine"), Store(place / "results" / "all")
    records = list(mine.records())
    done = records[0]
    failed = done.outcome.model_copy(update={"status": "failed", "reason": "r"})
    other.write(done.model_copy(update={"outcome": failed, "evaluations": (), "selected": {}}), {})
    other.write(records[1], mine.predictions(records[1]))


def littered(place: Path, bench: Bench) -> None:
    """A finished run, and what a killed process left behind."""
    recorded(place, bench)
    root = place / "results" / "mine"
    record = next(iter(Store(root).records()))
    folder = Store(root).path(record.key).parent
    (folder / ".tmp-x.json").write_text("{")
    (folder / f"{record.key}.0123456789abcdef.safetensors").write_bytes(b"old")
    (root / "checkpoints").mkdir(exist_ok=True)
    (root / "checkpoints" / f"{record.key}-source-1.safetensors").write_bytes(b"old")
    age(root)


def replaced(place: Path, bench: Bench) -> None:
    """A finished run, one record of which has replaced another."""
    half_recorded(place, bench)
    bench(*RUN)
    age(place / "results" / "mine")


def restoring(place: Path) -> tuple[str, ...]:
    """Make the version of the one cell that has any its record."""
    (key,) = Store(place / "results" / "mine").versions.keys()
    return ("results", "restore", "results/mine", key, "1")


def baseline(place: Path, bench: Bench) -> None:
    """A finished run, and a baseline of an earlier state of it."""
    images(place, bench)
    bench(*RUN, "--methods", "linear-probe")
    bench("baseline", "save", "old", "--results", "results/mine")
    (place / "results" / "baselines" / "old" / "README.md").write_text(OTHERS)
    bench(*RUN, "--seeds", "0,1")


def history(place: Path, bench: Bench) -> None:
    """A finished run, and a history of two others."""
    recorded(place, bench)
    for revision in ("one", "two"):
        bench("history", "add", "results/mine", "--revision", revision)


def documented(place: Path, bench: Bench) -> None:
    """A finished run, and a document with a place for its tables."""
    recorded(place, bench)
    text = f"{OTHERS}\n<!-- results:start -->\n<!-- results:end -->\n{OTHERS}\n"
    (place / "document.md").write_text(text)
    bench("report", "--results", "results/mine", "--out", "page.html")


def cached(place: Path, bench: Bench) -> None:
    """A cache, with a folder of the user's own in it."""
    recorded(place, bench)
    (place / "cache" / "own").mkdir()
    (place / "cache" / "own" / "notes.txt").write_text(OTHERS)


def pushed(place: Path, bench: Bench) -> None:
    """A finished run, a repository of its records, and a folder in which one of them has failed."""
    two_folders(place, bench)
    bench("hub", "push", "./repository/", *MINE)
    shutil.rmtree(place / "results" / "mine")


def texts(place: Path, bench: Bench) -> None:
    """A table of texts, and nothing that is kept of it."""
    rows = [f"{c},{d},{c} {n}" for d in ("shop", "site") for c in ("bolt", "nut") for n in range(6)]
    (place / "texts.csv").write_text("\n".join(["label,domain,text", *rows]))


def archived(place: Path, bench: Bench) -> None:
    """An archive of a dataset."""
    folder = as_folders(place / "unpacked", pictures(("amazon", "dslr", "webcam"), ("bike", "mug"), 2))
    with zipfile.ZipFile(place / "office31.zip", "w") as archive:
        for path in sorted(folder.rglob("*.jpg")):
            archive.write(path, path.relative_to(place / "unpacked"))
    shutil.rmtree(folder)


def decoded_only(place: Path, bench: Bench) -> None:
    """Images that have been decoded."""
    recorded(place, bench)
    shutil.rmtree(place / "results")


def decoded(place: Path, bench: Bench) -> None:
    """Images of cells that train, and nothing else that can be kept of them."""
    bench("train")
    shutil.rmtree(place / "results")
    shutil.rmtree(place / "cache" / "artifacts")


MINE = ("--results", "results/mine")
OWN = ("--suite", "mine.toml", "--data", "images", "--device", "cpu")
VERBS = {
    "run": Verb(RUN, images),
    "run, half recorded": Verb(RUN, half_recorded),
    "run --fresh": Verb((*RUN, "--fresh"), recorded),
    "tune": Verb(
        ("tune", "--suite", "mine.toml", "--data", "images", "--method", "full-finetune", "--trials", "2"),
        images,
        random=("*.journal",),
    ),
    "recommend --run": Verb(("recommend", *OWN, *MINE, "--run"), images),
    "check-search": Verb(("check-search", *OWN, *MINE, "--draws", "2"), images),
    "rank-backbones": Verb(
        ("rank-backbones", *OWN, "--target", "site", "--backbones", ",".join(NETWORKS)),
        decoded_only,
        random=("cache/artifacts/*",),
    ),
    "cells that train": Verb(
        ("train",), decoded, module="tests.torture.training", random=("cache/artifacts/*", "*/checkpoints/*")
    ),
    "results verify": Verb(
        ("results", "verify", "results/mine"), damaged, code=1, random=("*/quarantine/*.txt",)
    ),
    "results merge": Verb(("results", "merge", "results/all", "results/mine"), two_folders),
    "results gc": Verb(("results", "gc", "results/mine"), littered, removes=True),
    "results gc --versions": Verb(("results", "gc", "results/mine", "--versions"), replaced, removes=True),
    "results restore": Verb(restoring, replaced),
    "baseline save": Verb(("baseline", "save", "new", *MINE), baseline),
    "baseline save, again": Verb(("baseline", "save", "old", *MINE), baseline),
    "baseline rm": Verb(("baseline", "rm", "old"), baseline, removes=True),
    "history add": Verb(("history", "add", "results/mine", "--revision", "new"), history),
    "history": Verb(("history",), history),
    "report": Verb(("report", *MINE, "--out", "page.html"), documented),
    "report --out x.md": Verb(("report", *MINE, "--out", "tables.md"), documented),
    "report --update": Verb(("report", *MINE, "--update", "document.md"), documented),
    "report --serve": Verb(("visit",), documented, module="tests.torture.visiting"),
    "export": Verb(("export", "out", *MINE), documented),
    "compare --out": Verb(
        ("compare", "old", "results/mine", "--out", "c.html", "--out", "c.json", "--out", "c.md"), baseline
    ),
    "hub push": Verb(("hub", "push", "./repository/", *MINE), recorded),
    "hub pull": Verb(("hub", "pull", "./repository", "--into", "results/all"), pushed),
    "submit": Verb(("submit", "smoke@1", "--by", "me", "--results", BASELINE, "--out", "mine"), nothing),
    "site": Verb(("site", "results/mine", BASELINE, "--out", "site"), recorded),
    "data check of texts": Verb(("data", "check", "--data", "texts.csv"), texts, random=("cache/index/*",)),
    "data fetch": Verb(
        ("data", "fetch", "office-31", "--archive", "office31.zip"), archived, random=("cache/index/*",)
    ),
    "data check": Verb(("data", "check", "--data", "images"), images),
    "data preview": Verb(("data", "preview", "--data", "images"), images),
    "data card": Verb(("data", "card", "images"), images),
    "cache clear": Verb(("cache", "clear", "--yes"), cached, removes=True),
}
VERBS |= {
    f"track {tracker}": Verb(("track", tracker, *MINE, "--to", "tracked"), recorded, random=random)
    for tracker, random in (("mlflow", ("tracked/*",)), ("tensorboard", ()))
    if importlib.util.find_spec(tracker)
}
"""Trackers are optional, and wandb's files are written by a program that no library can be preloaded to."""
SLOW = frozenset(
    {"run", "run, half recorded", "run --fresh", "tune", "cells that train", "export"}
    | {"recommend --run", "check-search", "rank-backbones", "report --serve"}
    | {"hub pull", "hub push", "results gc --versions", "track mlflow", "track tensorboard"}
    | {
        "baseline save",
        "compare --out",
        "data check",
        "data check of texts",
        "data preview",
        "site",
        "submit",
        "history",
        "report",
        "report --out x.md",
    }
)
"""Commands of more than a second or so, and those of which others do all that they do."""
