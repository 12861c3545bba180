"""Baselines: records that are committed, so small that a repository can hold them.

A baseline keeps every record of a results folder, and of its predictions what scores of test images are
derived from. Logits are rounded to a sixteenth, except in rows where that would change which class is
named: every accuracy stays exactly what it was, and a mean negative log-likelihood moves by a few
thousandths of a nat.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
from safetensors.numpy import save as to_bytes

from bench.core.errors import UserError, did_you_mean
from bench.core.files import write_atomically
from bench.core.git import commit, git
from bench.core.paths import RESULTS
from bench.records.archive import packed
from bench.records.codec import encode
from bench.records.record import Predictions
from bench.records.store import Store

BASELINES = RESULTS / "baselines"
LARGEST = 20_000_000
"""Bytes above which a baseline does not belong into a repository."""

PART = "target-test"
STEPS_PER_UNIT = 16
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def names() -> list[str]:
    """Names of the saved baselines."""
    return sorted({path.parent.name for path in BASELINES.glob("[!.]*/*.zip")})


def size(name: str) -> int:
    """Bytes of a saved baseline."""
    return sum(path.stat().st_size for path in (BASELINES / name).glob("*.zip"))


def save(store: Store, name: str) -> Path:
    """Save the readable records of a store as a baseline, in place of an earlier one of that name.

    The same records give the same bytes. An archive per method, so that a commit shows which ones changed.

    Raises:
        UserError: a name that cannot be a folder's, no records, or damaged predictions.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"'{name}' cannot name a baseline: use letters, digits, '-', '_' and '.'")
    archives: dict[str, dict[str, bytes]] = defaultdict(dict)
    for record in store.records():
        members = archives[re.sub(r"[^\w.-]", "-", record.request.cell.method)]
        place = f"records/{record.key[:2]}/{record.key}"
        try:
            arrays = slimmed(store.predictions(record))
        except OSError as error:
            raise UserError(f"cannot save {record.request.cell.title}: {error}") from None
        blob = to_bytes(arrays) if arrays else None
        digest = hashlib.sha256(blob).hexdigest() if blob else None
        slim = record.model_copy(update={"predictions_sha256": digest})
        members[f"{place}.json"] = encode(slim)
        if blob:
            members[f"{place}.safetensors"] = blob
    if not archives:
        raise UserError(f"no records in '{store.root}': run a suite first, or name its folder with --results")
    target = BASELINES / name
    BASELINES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BASELINES, prefix=".tmp-") as temporary:
        for archive, members in archives.items():
            write_atomically(Path(temporary) / "new" / f"{archive}.zip", packed(members))
        if target.exists():
            target.replace(Path(temporary) / "old")
        (Path(temporary) / "new").replace(target)
    return target


def slimmed(predictions: Predictions) -> Predictions:
    """The arrays of the target-test images, logits rounded; every image is still given the same class."""
    kept = {key: value for key, value in predictions.items() if f"/{PART}/" in f"/{key}"}
    return {key: rounded(value) if key.endswith("/logits") else value for key, value in kept.items()}


def rounded(logits: np.ndarray) -> np.ndarray:
    """Logits float16 (images, classes) in sixteenths; rows whose first largest entry would move are kept."""
    coarse = (np.round(logits.astype(np.float32) * STEPS_PER_UNIT) / STEPS_PER_UNIT).astype(logits.dtype)
    moved = coarse.argmax(axis=1) != logits.argmax(axis=1)
    coarse[moved] = logits[moved]
    return coarse


def remove(name: str) -> None:
    """Remove a saved baseline; a `UserError` with a suggestion when there is none."""
    shutil.rmtree(_saved(name))


def open_results(named: str) -> Store:
    """The records of a results folder, of a saved baseline, or of `REVISION:NAME`, a committed baseline.

    Raises:
        UserError: there is no such thing, or it holds no records.
    """
    path = Path(named)
    if path.is_dir():
        found = Store(path)
    elif named in names():
        found = Store(BASELINES / named)
    elif ":" in named:
        return _committed(*named.split(":", 1))
    else:
        raise UserError(
            f"no results folder and no baseline '{named}': {did_you_mean(named, names())}; "
            "a committed one is REVISION:NAME"
        )
    if not found.keys() and not found.unreadable:
        raise UserError(f"no records in '{path}': run a suite first, or name another folder")
    return found


def _saved(name: str) -> Path:
    if name not in names():
        raise UserError(f"no baseline '{name}': {did_you_mean(name, names())}")
    return BASELINES / name


def _committed(revision: str, name: str) -> Store:
    """A baseline as some commit holds it, read into memory."""
    if not NAME.fullmatch(name):
        raise UserError(f"'{name}' cannot name a baseline: use REVISION:NAME")
    if not commit(revision):
        raise UserError(f"no git revision '{revision}' here: see git log")
    folder = f"{git('rev-parse', '--show-prefix').decode().strip()}{BASELINES.as_posix()}/"
    listed = git("ls-tree", "-r", "-z", "--full-tree", "--name-only", revision, folder).decode()
    files = [PurePosixPath(line) for line in listed.split("\0") if line.endswith(".zip")]
    known = {file.parent.name for file in files}
    if name not in known:
        raise UserError(f"revision '{revision}' has no baseline '{name}': {did_you_mean(name, known)}")
    mine = [file for file in files if file.parent.name == name]
    archives = {file.name: git("show", f"{revision}:{file}") for file in mine}
    return Store(f"{revision}:{name}", archives)
