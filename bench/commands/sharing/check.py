"""`bench results check-submission`: whether records that somebody hands in are what they say."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from bench.commands.sharing.questions import Questions, questions_of
from bench.commands.sharing.submission import ARCHIVE, MANIFEST, MARK, Manifest, coverage
from bench.core.errors import UserError
from bench.core.files import read_bounded
from bench.core.modalities import MODALITIES
from bench.records.archive import DAMAGE, LARGEST, MEMBER
from bench.records.record import Evaluation, Predictions, Record
from bench.records.selection import select
from bench.records.store import Store
from bench.report.scores.predictions import PART, ScoredPredictions, Unusable, opened, score
from bench.report.scores.words import metric_name
from bench.spec.toml import describe

LARGEST_MANIFEST = 2**20


@dataclass(frozen=True)
class Submission:
    """Submission that was read, with its faults, a line each."""

    folder: Path
    manifest: Manifest | None
    store: Store | None
    records: list[Record]
    faults: list[str]


def read(folder: Path, known: Sequence[Store] = ()) -> Submission:
    """Read a submission and check it: files, checksums, questions, fingerprints, predictions, coverage.

    `known` are results that it would be merged with: of a key that is there, predictions have to be the same,
    and of a question that is there, test images and labels.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"no submission at '{folder}': name a folder that bench submit has written")
    try:
        manifest = Manifest.model_validate(json.loads(read_bounded(folder / MANIFEST, LARGEST_MANIFEST)))
        questions = questions_of(manifest.edition)
    except ValidationError as error:
        return Submission(folder, None, None, [], [f"{MANIFEST}: {describe(error, Manifest)}"])
    except (OSError, ValueError, RecursionError, UserError) as error:
        return Submission(folder, None, None, [], [f"{MANIFEST}: {' '.join(str(error).split())}"])
    faults = [*_files(folder, manifest), *_frozen(manifest, questions)]
    if faults:
        # What is in files that are not those of the manifest is nobody's to judge.
        return Submission(folder, manifest, None, [], faults)
    store = Store(folder)
    records = list(store.records())
    faults = [f"{path.name}: {reason}" for path, reason in store.unreadable.items()]
    labels = _known_tests(known, questions)
    for record in records:
        title = f"{record.key} ({record.request.cell.title})"
        faults += [f"{title} {fault}" for fault in _record(store, record, questions, labels)]
    faults += [
        f"{name} lacks {missing} of {len(questions.keys)} cells"
        for name, missing in coverage(records, questions).items()
        if missing > 0
    ]
    found = Counter(record.request.cell.method for record in records)
    if dict(found) != manifest.methods:
        faults.append(f"{MANIFEST} names {manifest.methods}, but there are {dict(found)}")
    for other in known:
        faults += conflicts(store, records, other)
    return Submission(folder, manifest, store, records, faults)


def _files(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Faults of the folder's files: foreign, missing or changed ones, and of the archives' members."""
    wanted = {MANIFEST, MARK, *manifest.files}
    for path in sorted(folder.iterdir()):
        if path.name not in wanted:
            yield f"'{path.name}' is a foreign file"
        elif path.is_symlink() or not path.is_file():
            yield f"'{path.name}' is no plain file"
    members: dict[str, str] = {}
    for name, digest in sorted(manifest.files.items()):
        if not re.fullmatch(ARCHIVE, name):
            yield f"'{name}' cannot name an archive"
            continue
        try:
            content = read_bounded(folder / name, LARGEST)
        except OSError as error:
            yield f"{name}: {error.strerror or error}"
            continue
        if hashlib.sha256(content).hexdigest() != digest:
            yield f"{name} has another checksum than {MANIFEST} says"
            continue
        try:
            inside = zipfile.ZipFile(BytesIO(content)).namelist()
        except DAMAGE as error:
            yield f"{name} is no archive: {error}"
            continue
        for member in inside:
            if not MEMBER.fullmatch(member):
                yield f"{name} holds the foreign file '{member}'"
            elif member in members:
                yield f"{member} is there twice, in {members[member]} and {name}"
            members[member] = name


def _frozen(manifest: Manifest, questions: Questions) -> Iterator[str]:
    edition = questions.edition
    for what in ("protocol", "questions", "dataset"):
        theirs, ours = getattr(manifest, what), getattr(edition, what)
        if theirs != ours:
            yield f"{MANIFEST}: {what} {theirs} is not that of {questions.name}, {ours}"


Tests = tuple[bytes, bytes]
"""Test images of a question, by their numbers, and their labels."""


def _known_tests(stores: Sequence[Store], questions: Questions) -> dict[str, Tests]:
    """Tests by question, as results have them that are here already."""
    found: dict[str, Tests] = {}
    for store in stores:
        for record in store.records():
            if record.done and _asked(record) not in found and questions.fault(record) is None:
                with suppress(OSError, KeyError):
                    found[_asked(record)] = _tests(store.predictions(record))
    return found


def _asked(record: Record) -> str:
    """What decides the test images of a record's cell."""
    cell = record.request.cell
    scenario = cell.scenario
    return f"{scenario.target} {scenario.target_classes} {scenario.episodes} {cell.seed}"


def _tests(predictions: Predictions) -> Tests:
    return predictions[f"{PART}/items"].tobytes(), predictions[f"{PART}/labels"].tobytes()


def _record(store: Store, record: Record, questions: Questions, labels: dict[str, Tests]) -> Iterator[str]:
    """Faults of a record and of its predictions; `labels` are the tests of each question so far."""
    if fault := questions.fault(record):
        yield fault
        return
    if not record.done:
        return
    try:
        predictions = store.predictions(record)
        yield from _predictions(record, predictions)
        mine = _tests(predictions)
    except (OSError, Unusable) as error:
        yield f"has predictions that cannot be used: {error}"
        return
    except KeyError as error:
        yield f"lacks {error}"
        return
    if labels.setdefault(_asked(record), mine) != mine:
        items = MODALITIES[record.request.cell.modality].items
        yield f"has other test {items} or labels than others of its question"


def _predictions(record: Record, predictions: Predictions) -> Iterator[str]:
    """Faults of a done record's predictions: their form, and the scores that follow from them."""
    if not record.evaluations or record.selected != select(record.evaluations):
        yield "selects other evaluations than its rules do"
        return
    cell = record.request.cell
    scenario = cell.scenario
    classes = scenario.episodes.way if scenario.episodes else len(scenario.target_names)
    if scenario.unknown:
        predictions = opened(predictions, len(scenario.target_classes))
    found = score(predictions, record.selected, per_image=False, metric=cell.metric)
    if int(found.labels.max()) >= classes:
        yield f"has a label {int(found.labels.max())} of {classes} classes"
    for name, array in predictions.items():
        if name.endswith(f"/{PART}/logits") and array.shape != (len(found.labels), classes):
            yield f"has logits of the shape {array.shape} for {len(found.labels)} labels of {classes} classes"
    for rule, place in record.selected.items():
        if rule not in found.correct:
            yield f"lacks the logits of the evaluation that rule '{rule}' selects"
            continue
        yield from _scores(record.evaluations[place], rule, found, cell.metric)


def _scores(said: Evaluation, rule: str, found: ScoredPredictions, metric: str) -> Iterator[str]:
    """Faults of what an evaluation says of test items: its accuracy, and the metric that tables go by."""
    sizes = np.bincount(found.labels)
    smallest = int(np.count_nonzero(sizes) * sizes[sizes > 0].min())
    shares: dict[str, tuple[float, float, int]] = {
        metric_name(metric): (said.tested, found.accuracy(rule) / 100, smallest),
        "accuracy": (said.accuracy["target-test"], float(found.correct[rule].mean()), len(found.labels)),
    }
    if metric == "accuracy" and said.metric:
        yield f"says another metric than accuracy by rule '{rule}'"
        return
    for name, (told, follows, items) in shares.items():
        if np.isnan(told) and np.isnan(follows):
            continue
        # An item whose best two classes tie in float16 may be answered otherwise.
        if not abs(told - follows) <= 1.5 / items:
            yield f"says {_percent(told)} {name} by rule '{rule}', but its logits say {_percent(follows)}"


def _percent(share: float) -> str:
    return "no" if np.isnan(share) else f"{share:.1%}"


def conflicts(store: Store, records: Sequence[Record], other: Store) -> Iterator[str]:
    """Records of another store that have the key of one here, and other predictions."""
    for record in records:
        theirs = other.read(record.key)
        if theirs is None or not (record.done and theirs.done):
            continue
        try:
            same = _same(store.predictions(record), other.predictions(theirs))
        except OSError as error:
            yield f"{record.key} cannot be compared with that in '{other.root}': {error}"
            continue
        if not same:
            yield f"{record.key} ({record.request.cell.title}) has other predictions in '{other.root}'"


def _same(mine: Predictions, theirs: Predictions) -> bool:
    """Return True if the classes that both sides predict are the same."""
    names = [name for name in mine if name.endswith(f"/{PART}/logits") and name in theirs]
    return bool(names) and all(
        mine[name].shape == theirs[name].shape
        and np.array_equal(mine[name].argmax(1), theirs[name].argmax(1))
        for name in names
    )
