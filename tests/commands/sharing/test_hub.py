"""Records in a repository of datasets: as Parquet, in a folder of that form; entries for a model's card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result

from bench.cli import cli
from bench.core.errors import UserError
from bench.records.codec import encode
from bench.records.leases import Leases
from bench.records.store import Store
from tests.report import synthetic
from tests.support.checkout import ROOT

SMOKE = ROOT / "results" / "baselines" / "smoke"


def hub(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["hub", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "repository"
    result = hub("push", f"{folder}/", "--results", SMOKE)
    assert result.output.endswith("9 records of smoke\n")
    return folder


def test_there_and_back(repository: Path, tmp_path: Path) -> None:
    result = hub("pull", repository, "--into", tmp_path / "all")
    assert "9 records added, 0 were there" in result.output
    base, found = Store(SMOKE), Store(tmp_path / "all")
    for record in base.records():
        same = found.read(record.key)
        assert same == record
        for name, array in base.predictions(record).items():
            np.testing.assert_array_equal(found.predictions(same)[name], array)
    assert "0 records added, 9 were there" in hub("pull", repository, "--into", tmp_path / "all").output


def test_rows_can_be_read_without_this_program(repository: Path) -> None:
    frame = pd.read_parquet(repository / "data" / "smoke.parquet")
    assert {*frame["method"]} == {"dann", "full-finetune", "linear-probe"}
    records = {record.key: record for record in Store(SMOKE).records()}
    for row in frame.itertuples():
        record = records[row.key]
        assert row.status == record.outcome.status
        if record.done:
            accuracy = record.evaluations[record.selected["last"]].accuracy["target-test"]
            assert row.accuracy == row.score == accuracy
            assert row.metric == "accuracy"


def damaged(repository: Path, tmp_path: Path, **values: object) -> Path:
    table = pq.read_table(repository / "data" / "smoke.parquet").to_pylist()
    table[0] |= values
    (tmp_path / "bad" / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "bad" / "data" / "smoke.parquet")
    return tmp_path / "bad"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"predictions": b"x"}, "are not those that it was written with"),
        ({"predictions": None}, "are not those that it was written with"),
        ({"record": "{}"}, "smoke.parquet holds a damaged record"),
        ({"record": None}, "smoke.parquet holds a damaged record: not JSON"),
    ],
)
def test_damaged_rows(values: dict[str, object], line: str, repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=line):
        hub("pull", damaged(repository, tmp_path, **values), "--into", tmp_path / "all")


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match="no records at"):
        hub("pull", tmp_path, "--into", tmp_path / "all")
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "data" / "x.parquet")
    with pytest.raises(UserError, match=r"x.parquet is no file of records: it has no column 'predictions'"):
        hub("pull", tmp_path, "--into", tmp_path / "all")
    (tmp_path / "data" / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"cannot read x.parquet"):
        hub("pull", tmp_path, "--into", tmp_path / "all")


@pytest.mark.parametrize("name", ["mine", "a/b/c d"])
def test_names_of_no_repository(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        hub("pull", name, "--into", tmp_path / "all")


def test_a_hub_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="the Hugging Face hub: "):
        hub("pull", "nobody-here/nothing", "--into", tmp_path / "all")


def test_entries_of_a_model_card(tmp_path: Path) -> None:
    result = hub("model-card", "linear-probe", "--dataset", "me/results", "--results", SMOKE)
    entries = yaml.safe_load(result.output)
    records = [record for record in Store(SMOKE).records() if record.request.cell.method == "linear-probe"]
    accuracies = [100 * r.evaluations[r.selected["last"]].accuracy["target-test"] for r in records]
    assert sorted(entry["value"] for entry in entries) == sorted(round(value, 2) for value in accuracies)
    assert {entry["dataset"]["id"] for entry in entries} == {"me/results"}
    with pytest.raises(UserError, match="unknown method with a done cell 'lineer-probe': did you mean"):
        hub("model-card", "lineer-probe", "--dataset", "me/results", "--results", SMOKE)
    with pytest.raises(UserError, match="no name of a dataset's repository"):
        hub("model-card", "linear-probe", "--dataset", "results", "--results", SMOKE)


def test_entries_of_a_model_card_are_of_one_protocol_each(tmp_path: Path) -> None:
    """Of 40 images of 32 pixels half are right, of 64 pixels all."""
    for size, right in ((32, 20), (64, 40)):
        synthetic.write(Store(tmp_path), synthetic.cell("dann", image_size=size), right)
    result = hub("model-card", "dann", "--dataset", "me/results", "--results", tmp_path)
    assert {(e["dataset"]["task_id"], e["value"]) for e in yaml.safe_load(result.output)} == {
        ("toy-suite, cross-domain, 5 shots, 32 px", 50.0),
        ("toy-suite, cross-domain, 5 shots, 64 px", 100.0),
    }


def test_entries_of_a_model_card_are_of_one_backbone_each(tmp_path: Path) -> None:
    """Of 40 images one backbone has half right, the other all."""
    for backbone, right in (("resnet18", 20), ("resnet50", 40)):
        synthetic.write(Store(tmp_path), synthetic.cell("dann", backbone=backbone), right)
    result = hub("model-card", "dann", "--dataset", "me/results", "--results", tmp_path)
    assert {(e["dataset"]["task_id"], e["value"]) for e in yaml.safe_load(result.output)} == {
        ("toy-suite, cross-domain, 5 shots, resnet18", 50.0),
        ("toy-suite, cross-domain, 5 shots, resnet50", 100.0),
    }


def test_suites_of_like_names_have_files_of_their_own(tmp_path: Path) -> None:
    base, store = Store(SMOKE), Store(tmp_path / "results")
    store.prepare()
    for record, suite in zip(base.records(), ("a b", "a/b", "a-b"), strict=False):
        request = record.request.model_copy(update={"suite": suite})
        store.write(record.model_copy(update={"request": request}), base.predictions(record))
    hub("push", f"{tmp_path / 'repository'}/", "--results", tmp_path / "results")
    assert "3 records added" in hub("pull", tmp_path / "repository", "--into", tmp_path / "all").output
    assert {record.request.suite for record in Store(tmp_path / "all").records()} == {"a b", "a/b", "a-b"}


def test_a_record_whose_predictions_are_gone_is_mended(repository: Path, tmp_path: Path) -> None:
    into = tmp_path / "all"
    hub("pull", repository, "--into", into)
    store = Store(into)
    record = next(record for record in store.records() if record.done)
    (lost,) = (into / "records" / record.key[:2]).glob(f"{record.key}*.safetensors")
    lost.unlink()
    assert (
        "0 records added, 8 were there, 1 replaced damaged ones"
        in hub("pull", repository, "--into", into).output
    )
    assert store.predictions(record)


def test_a_done_record_without_predictions_replaces_none(repository: Path, tmp_path: Path) -> None:
    """Somebody may seal one anew: what is here, failed, says more than an answer that is nowhere."""
    base = Store(SMOKE)
    record = next(record for record in base.records() if record.done)
    store = Store(tmp_path / "all")
    store.prepare()
    failed = record.outcome.model_copy(update={"status": "failed", "reason": "mine"})
    store.write(record.model_copy(update={"outcome": failed}), {})
    table = pq.read_table(repository / "data" / "smoke.parquet").to_pylist()
    (row,) = (row for row in table if row["key"] == record.key)
    row |= {
        "record": encode(record.model_copy(update={"predictions_sha256": None})).decode(),
        "predictions": None,
    }
    (tmp_path / "bad" / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "bad" / "data" / "smoke.parquet")
    with pytest.raises(UserError, match="cannot be added: it says done, but has no predictions"):
        hub("pull", tmp_path / "bad", "--into", store.root)
    assert store.read(record.key).outcome.reason == "mine"


def test_a_record_that_was_finished_meanwhile_stays(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is here is read when the cell's lease is held, and not before."""
    store, base = Store(tmp_path / "all"), Store(SMOKE)
    store.prepare()
    done = {record.key: record for record in base.records() if record.done}
    take = Leases.take

    def finish_first(leases: Leases, key: str, wait: float = 0.0) -> bool:
        if key in done and store.read(key) is None:
            mine = done[key].model_copy(update={"warnings": ("mine",)})
            store.write(mine, base.predictions(done[key]))
        return take(leases, key, wait)

    monkeypatch.setattr(Leases, "take", finish_first)
    hub("pull", repository, "--into", store.root)
    assert all(store.read(key).warnings == ("mine",) for key in done)


def test_a_damaged_record_is_not_left_out_silently(repository: Path, tmp_path: Path) -> None:
    hub("pull", repository, "--into", tmp_path / "all")
    path = Store(tmp_path / "all").files()[3]
    path.write_bytes(path.read_bytes().replace(b'"seed":', b'"seed" :', 1)[:-9])
    with pytest.raises(UserError, match=rf"{path.name} cannot be read: .* bench results verify"):
        hub("push", f"{tmp_path}/again/", "--results", tmp_path / "all")
    assert not (tmp_path / "again").exists()
