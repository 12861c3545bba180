"""`bench hub push | pull | model-card`: records on the Hugging Face hub, through its own library."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pandas as pd

from bench.commands.results.folder import open_named_or_latest
from bench.commands.results.maintenance import added_and_kept, writing
from bench.commands.sharing import parquet
from bench.commands.sharing.questions import cells_of
from bench.core.errors import UserError, check_name
from bench.core.files import write_atomically
from bench.core.text import counted, printable
from bench.records import maintenance
from bench.records.codec import Damaged
from bench.records.record import Predictions, Record
from bench.records.store import Store
from bench.report.scores.frame import accuracy_column, load_together
from bench.report.site.build import slug

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
DATA = "data"
"""Folder of a dataset's repository that its viewer reads."""


def push(repository: str, results: str | None) -> None:
    """Write the records of a results folder into a dataset's repository, or a folder of that form.

    Raises:
        UserError: there are no records, one cannot be read, or the hub does not take them.
    """
    store = open_named_or_latest(results)
    by_suite: dict[str, list[Record]] = defaultdict(list)
    for record in store.records():
        by_suite[record.request.suite].append(record)
    with tempfile.TemporaryDirectory() as folder:
        count = 0
        for suite, records in by_suite.items():
            name = f"{DATA}/{slug(suite)}.parquet"
            count += parquet.write(Path(folder) / name, store, records)
        for path, reason in store.unreadable.items():
            raise UserError(f"{path} cannot be read: {reason}: bench results verify '{store.root}'")
        if not count:
            raise UserError(f"no records in '{store.root}'")
        local = _local(repository)
        if local is not None:
            _copied(Path(folder), local)
        else:
            with _hub():
                from huggingface_hub import HfApi

                api = HfApi()
                api.create_repo(repository, repo_type="dataset", exist_ok=True)
                api.upload_folder(repo_id=repository, repo_type="dataset", folder_path=folder)
    click.echo(printable(f"{repository}: {counted(count, 'record')} of {', '.join(by_suite)}"))


def pull(repository: str, into: str) -> None:
    """Add the records of a dataset's repository, or of a folder of that form, to a results folder.

    A record that is there, done and whole, stays. Damaged ones end it; what was added before is whole.

    Raises:
        UserError: the repository is out of reach, holds no records, or a damaged one.
    """
    local = _local(repository)
    if local is None:
        with _hub():
            from huggingface_hub import snapshot_download

            local = Path(
                snapshot_download(repository, repo_type="dataset", allow_patterns=f"{DATA}/*.parquet")
            )
    files = sorted(local.glob(f"{DATA}/*.parquet"))
    if not files:
        raise UserError(f"no records at '{repository}': a repository of records has {DATA}/*.parquet")
    store = Store(into)
    store.prepare()
    counts: Counter[str] = Counter()
    for file in files:
        for record, predictions in parquet.read(file):
            counts[_added(store, record, predictions)] += 1
    click.echo(f"{into}: {added_and_kept(store, counts)}")


def _added(store: Store, record: Record, predictions: Predictions) -> str:
    """Add a record; returns what came of it, see `maintenance.add`."""
    try:
        with writing(store):
            outcome = maintenance.add(store, record, lambda _: predictions)
    except Damaged as error:
        raise UserError(f"{record.key} cannot be added: {error}") from None
    if outcome == "busy":
        raise UserError(f"another process works on {record.key}: try again when it is done")
    return outcome


def model_card(method: str, repository: str, results: str | None) -> str:
    """Evaluation entries of a method, as `.eval_results/*.yaml` of a model's repository holds them.

    One for each suite, kind, number of labels, protocol and backbone: the mean over done cells, in percent.

    Raises:
        UserError: no such repository's name, or no done cell of the method.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    if not REPOSITORY.fullmatch(repository):
        raise UserError(
            f"'{printable(repository)}' is no name of a dataset's repository: OWNER/NAME, where records are"
        )
    store = open_named_or_latest(results)
    keys: dict[str, list[str]] = defaultdict(list)
    for record in store.records():
        keys[record.request.suite].append(record.key)
    frames = [load_together([(store, mine)], cells_of(name), per_image=False) for name, mine in keys.items()]
    done = [frame[frame["status"] == "done"] for frame in frames]
    check_name("method with a done cell", method, sorted({name for each in done for name in each["method"]}))
    column, by = accuracy_column(), ["suite", "kind", "shots", "metric", "backbone"]
    entries = [
        EvalResultEntry(
            dataset_id=repository,
            task_id=", ".join([suite, kind, _in_words(shots), *([backbone] if several else [])]),
            value=round(float(rows[column].mean()), 2),
            date=max(rows["created"])[:10],
            notes=f"{method} on {backbone}, mean of {counted(len(rows), 'cell')}, {metric} in percent",
        )
        for each in done
        for several in [each["backbone"].nunique() > 1]
        for (suite, kind, shots, metric, backbone), rows in each[each["method"] == method].groupby(by)
        if not pd.isna(rows[column].mean())
    ]
    return str(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True))


def _in_words(label: str) -> str:
    """Label of a supervision, as `5 shots, 64 px`."""
    shots, *more = label.split(", ")
    return ", ".join([f"{shots} shots", *more])


def _local(repository: str) -> Path | None:
    """Folder that a repository's name is; None for one on the hub."""
    if (os.sep in repository and not REPOSITORY.fullmatch(repository)) or Path(repository).is_dir():
        return Path(repository).expanduser()
    if not REPOSITORY.fullmatch(repository):
        raise UserError(f"'{printable(repository)}' is no repository: OWNER/NAME, or a folder with '/' in it")
    return None


def _copied(source: Path, target: Path) -> None:
    try:
        for path in source.rglob("*.parquet"):
            place = target / path.relative_to(source)
            write_atomically(place, path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot write '{target}': {error}") from None


@contextmanager
def _hub() -> Iterator[None]:
    """Turn what the hub's library raises into one line."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    try:
        yield
    except (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        OSError,
    ) as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"the Hugging Face hub: {line}; hf auth login, or another name") from None
