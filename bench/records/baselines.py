"""Baselines: records that are committed, so small that a repository can hold them.

A baseline keeps every record of a results folder, and from its predictions the arrays that scores of test
images are derived from. Logits are rounded to a sixteenth, except in rows where that would change the
predicted class: every accuracy stays exactly what it was, and a mean negative log-likelihood moves by a few
thousandths of a nat.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from safetensors.numpy import save as to_bytes

from bench.core.errors import UserError, did_you_mean
from bench.core.paths import RESULTS
from bench.core.version import commit, git
from bench.records.archive import NEW, archive_names, remove_archives, replace_archives, to_zip
from bench.records.codec import encode
from bench.records.record import Predictions, Record
from bench.records.store import Store

BASELINES = RESULTS / "baselines"
LARGEST = 20_000_000
"""Size limit of a baseline in a repository, in bytes."""

PARTITION = "target-test"
STEPS_PER_UNIT = 16
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def names() -> list[str]:
    """List the names of the saved baselines."""
    return sorted(path.name for path in BASELINES.glob("[!.]*") if archive_names(path))


def size(name: str) -> int:
    """Return the size of a saved baseline in bytes."""
    return sum(path.stat().st_size for path in (BASELINES / name).glob("*.zip"))


def save(store: Store, name: str) -> Path:
    """Save the readable records of a store as a baseline, in place of an earlier one of that name.

    Equal records give equal bytes. There is an archive per method, so that a commit shows which ones changed.
    The earlier one is there until the new one is; other files in its folder stay.

    Raises:
        UserError: the name cannot be a folder's, there are no records, predictions are damaged, or the folder
            cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"'{name}' cannot name a baseline: use letters, digits, '-', '_' and '.'")
    archives = packed(store, store.records())
    if not archives:
        raise UserError(f"no records in '{store.root}': run a suite first, or name its folder with --results")
    target = BASELINES / name
    try:
        replace_archives(target, archives)
    except OSError as error:
        raise UserError(
            f"cannot write '{target}': {error.strerror or error}; an earlier baseline '{name}' is still there"
        ) from None
    return target


def packed(store: Store, records: Iterable[Record]) -> dict[str, bytes]:
    """Pack records of a store into an archive per method, by name.

    Raises:
        UserError: predictions are damaged.
    """
    archives: dict[str, dict[str, bytes]] = defaultdict(dict)
    for record in records:
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
    return {f"{name}.zip": to_zip(members) for name, members in archives.items()}


def slimmed(predictions: Predictions) -> Predictions:
    """Keep the arrays of the target-test images and round their logits; predicted classes stay the same."""
    kept = {key: value for key, value in predictions.items() if f"/{PARTITION}/" in f"/{key}"}
    return {key: rounded(value) if key.endswith("/logits") else value for key, value in kept.items()}


def rounded(logits: np.ndarray) -> np.ndarray:
    """Round logits float16 (images, classes) to sixteenths, except rows whose argmax would change."""
    coarse = (np.round(logits.astype(np.float32) * STEPS_PER_UNIT) / STEPS_PER_UNIT).astype(logits.dtype)
    moved = coarse.argmax(axis=1) != logits.argmax(axis=1)
    coarse[moved] = logits[moved]
    return coarse


def remove(name: str) -> None:
    """Remove a saved baseline, and no other file; a `UserError` with a suggestion when there is none."""
    folder = _saved(name)
    try:
        remove_archives(folder)
    except OSError as error:
        raise UserError(f"cannot remove '{folder}': {error.strerror or error}") from None


def open_results(source: str) -> Store:
    """Open a results folder, a saved baseline, or `REVISION:NAME`, a committed baseline.

    Raises:
        UserError: `source` is none of these, or it holds no records.
    """
    path = Path(source)
    if path.is_dir():
        store = Store(path)
    elif source in names():
        store = Store(BASELINES / source)
    elif ":" in source:
        return _committed(*source.split(":", 1))
    else:
        raise UserError(
            f"no results folder and no baseline '{source}': {did_you_mean(source, names())}; "
            "a committed one is REVISION:NAME"
        )
    if not store.keys() and not store.unreadable:
        raise UserError(f"no records in '{path}': run a suite first, or name another folder")
    return store


def _saved(name: str) -> Path:
    if name not in names() and not (BASELINES / name / NEW).is_dir():
        raise UserError(f"no baseline '{name}': {did_you_mean(name, names())}")
    return BASELINES / name


def _committed(revision: str, name: str) -> Store:
    """Read a baseline out of a commit into memory."""
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
    archives = {file.name: git("show", f"{revision}:{file}") for file in files if file.parent.name == name}
    return Store(f"{revision}:{name}", archives)
