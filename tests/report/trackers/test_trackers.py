"""What trackers hold after `bench track`, read back through their own libraries."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import cli
from bench.core.errors import UserError
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.scores.runs import Run, runs
from bench.report.trackers import names, writer
from tests.report import synthetic
from tests.support.checkout import bench, python


@pytest.fixture
def filled(store: Store) -> Store:
    synthetic.fill(store, {"linear-probe": 20, "a <b> & c": 30}, pairs=[("photo", "sketch")], shots=[5])
    store.write(synthetic.record(synthetic.cell("maml"), "failed", "diverged"), {})
    return store


def cells(store: Store) -> list[Run]:
    return list(runs(load_frame(store)))


def test_a_run_by_hand(filled: Store) -> None:
    by_method = {run.params["method"]: run for run in cells(filled)}
    assert by_method.keys() == {"linear-probe", "a <b> & c"}, "what is not done is no run"
    run = by_method["linear-probe"]
    assert run.name == "linear-probe photo → sketch 5-shot seed 0"
    assert (run.suite, run.started) == ("toy-suite", 1714564800.0)
    assert run.params["shots"] == "5"
    assert (run.params["seed"], run.params["batch_size"]) == (0, 8)
    assert "overrides" not in run.params
    assert run.metrics["accuracy last"] == pytest.approx(50.0)
    assert run.metrics["seconds_alone"] == 10.0
    assert (run.tags["key"], run.tags["digest_engine"]) == (run.key, "e-1")
    (stage, step, metrics), _ = run.evaluations
    assert (stage, step) == ("target", 10)
    assert metrics["target_test_accuracy"] == pytest.approx(60.0), "percent, as everywhere"
    assert metrics["train_loss"] == pytest.approx(0.1)


@pytest.mark.parametrize("created", ["yesterday", "", "9999-99-99", "0001-01-01", "2024-05-01T12:00:00"])
def test_a_run_whose_record_names_no_time_is_a_run(store: Store, created: str) -> None:
    synthetic.write(store, synthetic.cell(), 20, created=created)
    (run,) = cells(store)
    assert run.started <= 1714564800.0


def test_tensorboard(filled: Store, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    for _ in range(2):
        writer("tensorboard")(cells(filled), str(tmp_path / "tb"))
    for run in cells(filled):
        folder = tmp_path / "tb" / "toy-suite" / run.key
        assert len(list(folder.iterdir())) == 1, "the second time adds nothing"
        events = EventAccumulator(str(folder)).Reload()
        (final,) = events.Scalars("accuracy last")
        assert final.value == pytest.approx(run.metrics["accuracy last"])
        seen = events.Scalars("target-stage/target_test_accuracy")
        assert [(e.step, round(e.value)) for e in seen] == [(10, 60), (20, 50)]
        content = events.PluginTagToContent("hparams")[metadata.SESSION_START_INFO_TAG]
        known = metadata.parse_session_start_info_plugin_data(content).hparams
        assert known["method"].string_value == run.params["method"]
        assert known["batch_size"].number_value == 8


def run_again(store: Store) -> Run:
    """A cell is run again, and answers otherwise under its key."""
    cell = synthetic.cell("linear-probe", "photo", "sketch", 5)
    synthetic.write(store, cell, 10, created="2024-06-01T12:00:00+00:00")
    (run,) = (run for run in cells(store) if run.key == cell.key)
    assert run.metrics["accuracy last"] == pytest.approx(25.0)
    return run


def test_a_cell_that_was_run_again_is_another_answer(filled: Store) -> None:
    before = {run.key: run.answer for run in cells(filled)}
    assert {run.key: run.answer for run in cells(filled)} == before
    run = run_again(filled)
    after = {run.key: run.answer for run in cells(filled)}
    assert [key for key in before if before[key] != after[key]] == [run.key]


def test_tensorboard_shows_the_newest_run_of_a_cell(filled: Store, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer("tensorboard")(cells(filled), str(tmp_path))
    run = run_again(filled)
    writer("tensorboard")(cells(filled), str(tmp_path))
    events = EventAccumulator(str(tmp_path / "toy-suite" / run.key)).Reload()
    (final,) = events.Scalars("accuracy last")
    assert final.value == pytest.approx(25.0)


def test_mlflow_marks_what_was_replaced(filled: Store, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    writer("mlflow")(first := cells(filled), str(tmp_path))
    key = run_again(filled).key
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy-suite").experiment_id

    def accuracies() -> dict[float, str | None]:
        found = client.search_runs([experiment], f"tags.key = '{key}'")
        return {one.data.metrics["accuracy last"]: one.data.tags.get("replaced") for one in found}

    for _ in range(2):
        writer("mlflow")(cells(filled), str(tmp_path))
        assert accuracies() == {50.0: "true", 25.0: None}
    writer("mlflow")(first, str(tmp_path))
    assert accuracies() == {50.0: "false", 25.0: "true"}


def test_mlflow(filled: Store, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    for _ in range(2):
        writer("mlflow")(cells(filled), str(tmp_path / "ml"))
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'ml' / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("toy-suite").experiment_id])
    assert len(found) == 2, "the second time adds nothing"
    for run in cells(filled):
        (mine,) = [one for one in found if one.data.tags["key"] == run.key]
        assert mine.info.status == "FINISHED"
        assert mine.data.params["method"] == run.params["method"]
        assert mine.data.metrics["accuracy last"] == pytest.approx(run.metrics["accuracy last"])
        seen = client.get_metric_history(mine.info.run_id, "target-stage/target_test_accuracy")
        assert sorted((m.step, round(m.value)) for m in seen) == [(10, 60), (20, 50)]


def test_wandb_offline(filled: Store, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    process = bench(
        *("track", "wandb", "--results", str(filled.root), "--to", "wb"),
        cwd=tmp_path,
        WANDB_MODE="offline",
        WANDB_SILENT="true",
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == "2 runs, 1 cell not done left out: wb/wandb\n"
    for run in cells(filled):
        (file,) = (tmp_path / "wb" / "wandb").glob(f"offline-run-*-{run.key}/run-{run.key}.wandb")
        # Its own format; names and values of text stand in it as they are.
        content = file.read_bytes()
        for name in ("target-stage/target_test_accuracy", "accuracy last", str(run.params["backbone"])):
            assert name.encode() in content


@pytest.mark.parametrize("name", names())
def test_without_the_library_one_line_says_how_to_get_it(name: str, filled: Store, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"sys.modules['{name}'] = None  # what an import then raises is what a missing package raises\n"
        "from bench.cli import main\n"
        f"sys.argv = ['bench', 'track', '{name}', '--results', {str(filled.root)!r}]\n"
        "main()\n"
    )
    process = python("-c", code, cwd=tmp_path)
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert f"pip install 'transfer-bench[{name}]'" in line


def test_the_command_names_every_tracker() -> None:
    assert cli.commands["track"].params[0].make_metavar(None) == "|".join(names())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="unknown tracker 'mlfow': did you mean 'mlflow'"):
        writer("mlfow")


def test_a_folder_that_cannot_be_written_is_one_line(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in names():
        pytest.importorskip(name, reason=f"{name} is not installed")
        with pytest.raises(UserError, match="file"):
            writer(name)(cells(filled), str(tmp_path / "file"))
