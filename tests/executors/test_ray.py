"""A real Ray cluster of several nodes on this machine: the same answers, and nothing lost with a node."""

from __future__ import annotations

import contextlib
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.core.errors import UserError
from bench.executors.compatibility import versions
from bench.executors.protocol import ExecutorOptions
from bench.executors.worker_pool import WorkerPool
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Cell
from bench.spec.resources import Resources
from tests.quick import TODAY, RecordingWatcher, quick_cell, quick_options, worked
from tests.support.cells import assert_equal, digests, tiny_cell
from tests.support.checkout import ROOT, bench, python

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'transfer-bench[ray]'")

from bench.executors import ray as ray_executor  # noqa: E402
from bench.executors.ray import RayCluster  # noqa: E402
from bench.executors.ray_nodes import CellResources  # noqa: E402

STORE = 100 * 2**20
"""Bytes of a node's object store, of which nothing here needs any."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes with a processor each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Nodes find the program, and their workers are not put behind whatever else runs here.
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_worker_niceness", "0")
        head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
        found = Cluster(initialize_head=True, head_node_args=head)
        found.add_node(num_cpus=1, object_store_memory=STORE)
        yield found
        ray.shutdown()
        found.shutdown()


def ray_cluster(nodes: Any, **resources: Any) -> RayCluster:
    """This process as a driver of it."""
    return RayCluster(ExecutorOptions(device="cpu", address=nodes.address, resources=Resources(**resources)))


@pytest.fixture(scope="module")
def joined(nodes: Any) -> RayCluster:
    """This process as its driver."""
    return ray_cluster(nodes)


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_QUICK_LOG", str(tmp_path / "worked.txt"))


def go(cluster: RayCluster, root: Path, cells: list[Any], **options: Any) -> RecordingWatcher:
    """Run quick cells on a cluster."""
    store, watcher = Store(root), options.pop("watcher", None) or RecordingWatcher()
    store.prepare()
    pool = WorkerPool(quick_options(), cluster)
    try:
        pool.prepare(["none"], print)
        pool.run(cells, "quick", {"quick": TODAY}, store, watcher, **options)
    finally:
        pool.close()
    return watcher


def test_each_cell_once(joined: RayCluster, tmp_path: Path) -> None:
    assert joined.capacity == 2
    cells = [quick_cell(seed, seconds=0.0) for seed in range(8)]
    seen = go(joined, tmp_path, cells)
    assert {record.key for record in seen.records} == {cell.key for cell in cells}
    assert sorted(worked(tmp_path)) == sorted(cell.key for cell in cells)
    assert not [*tmp_path.glob(".seen-*")]


def test_what_goes_wrong_far_away_becomes_a_record(joined: RayCluster, tmp_path: Path) -> None:
    cells = [quick_cell(seed, do=do) for seed, do in enumerate(["die", "exit", "hang", "die once"])]
    seen = go(joined, tmp_path, cells, timeout=2.0)
    outcome = {record.request.cell.seed: record.outcome for record in seen.records}
    assert {seed: h.status for seed, h in outcome.items()} == {
        0: "failed",
        1: "failed",
        2: "failed",
        3: "done",
    }
    assert "SIGKILL" in outcome[0].reason
    assert "exit code 3" in outcome[1].reason
    assert "working on 0" in outcome[0].log, "what it printed comes back"
    assert "in work" in outcome[2].log, "and where it hung"
    tries = Counter(worked(tmp_path))
    assert [tries[cell.key] for cell in cells] == [2, 2, 1, 2]


class Killer(RecordingWatcher):
    """Kills a node at the first moment at which three cells are at work, one on each."""

    def __init__(self, kill: Callable[[], None]) -> None:
        super().__init__()
        self.kill: Callable[[], None] | None = kill
        self.going: set[str] = set()

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        self.going.add(cell.key)
        if self.kill and len(self.going) == 3:
            self.kill()
            self.kill = None

    def finished(self, record: Record) -> None:
        super().finished(record)
        self.going.discard(record.key)


def test_a_lost_node_loses_nothing(nodes: Any, joined: RayCluster, tmp_path: Path) -> None:
    """Its cell begins again elsewhere, and that is no fault of the cell."""
    third = nodes.add_node(num_cpus=1, object_store_memory=STORE)
    cluster = ray_cluster(nodes)
    assert cluster.capacity == 3
    watcher = Killer(lambda: nodes.remove_node(third, allow_graceful=False))
    cells = [quick_cell(seed, do="slow") for seed in range(9)]
    go(cluster, tmp_path, cells, watcher=watcher)
    assert watcher.kill is None
    assert {record.key for record in watcher.records} == {cell.key for cell in cells}
    assert {record.outcome.status for record in watcher.records} == {"done"}
    assert any("its node was lost; the cell begins again elsewhere" in note for note in watcher.notes)
    assert Counter(worked(tmp_path)).total() == 10


class Joiner(RecordingWatcher):
    """Lets a node join as soon as a cell is at work; cells end when `enough` is there."""

    def __init__(self, join: Callable[[], None], enough: Callable[[Joiner], bool], over: Path) -> None:
        super().__init__()
        self.join: Callable[[], None] | None = join
        self.enough, self.over = enough, over
        self.at_once = 0
        self.going: set[str] = set()

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        self.going.add(cell.key)
        self.at_once = max(self.at_once, len(self.going))
        if self.join:
            self.join()
            self.join = None
        if self.enough(self):
            self.over.touch()

    def finished(self, record: Record) -> None:
        super().finished(record)
        self.going.discard(record.key)


@pytest.fixture
def third(nodes: Any) -> Iterator[Callable[[], None]]:
    """Adds a node of two processors; it is gone after the test."""
    added = []
    yield lambda: added.append(nodes.add_node(num_cpus=2, object_store_memory=STORE, wait=False))
    for node in added:
        nodes.remove_node(node)


def joining(cluster: RayCluster, root: Path, watcher: Joiner) -> None:
    """Cells that are at work until the watcher has had enough."""
    go(cluster, root, [quick_cell(seed, do="until") for seed in range(6)], watcher=watcher, timeout=240)
    assert {record.outcome.status for record in watcher.records} == {"done"}
    assert len(watcher.records) == 6


def test_a_node_that_joins_gets_cells(
    nodes: Any, third: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "POLL", 0.5)
    cluster = ray_cluster(nodes)
    watcher = Joiner(third, lambda seen: seen.at_once == 4, tmp_path / "worked.txt.over")
    joining(cluster, tmp_path, watcher)
    assert cluster.capacity == 4
    said = r"node \S+ \w{8} of the Ray cluster joined: room for 2 more at once"
    assert [bool(re.fullmatch(said, note)) for note in watcher.notes] == [True]


def older() -> dict[str, str]:
    return {**versions(), "torch": "0.0.1"}


def test_a_node_with_other_versions_gets_no_cells(
    nodes: Any, third: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "POLL", 0.5)
    cluster = ray_cluster(nodes)
    monkeypatch.setattr(ray_executor, "versions", older)
    watcher = Joiner(third, lambda seen: bool(seen.notes), tmp_path / "worked.txt.over")
    joining(cluster, tmp_path, watcher)
    assert cluster.capacity == watcher.at_once == 2
    said = r"node \S+ \w{8} of the Ray cluster has torch 0\.0\.1 instead of \S+; it gets no cells"
    assert [bool(re.fullmatch(said, note)) for note in watcher.notes] == [True]


class Waiter(RecordingWatcher):
    """Kills a node when a cell is at work, and lets another one join once that is missed."""

    def __init__(self, kill: Callable[[], None], join: Callable[[], None]) -> None:
        super().__init__()
        self.kill: Callable[[], None] | None = kill
        self.join = join

    def progress(self, cell: Cell, what: str, done: int, total: int) -> None:
        if self.kill:
            self.kill()
            self.kill = None

    def note(self, text: str) -> None:
        super().note(text)
        if "waiting for one that joins" in text:
            self.join()


def test_it_waits_for_a_node_when_none_is_left(
    nodes: Any, third: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "POLL", 0.5)
    only = nodes.add_node(num_cpus=2, object_store_memory=STORE)
    cluster = ray_cluster(nodes, cpus_per_cell=2)
    assert cluster.capacity == 1
    watcher = Waiter(lambda: nodes.remove_node(only, allow_graceful=False), third)
    go(cluster, tmp_path, [quick_cell(seed, do="slow") for seed in range(3)], watcher=watcher)
    assert [record.outcome.status for record in watcher.records] == ["done"] * 3
    assert sum("no node of the Ray cluster has room any more" in note for note in watcher.notes) == 1


def test_a_node_stays_when_only_its_actor_is_lost(
    joined: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "POLL", 0.5)
    watcher, killed = RecordingWatcher(), []

    def act() -> None:
        if any("of the Ray cluster is there still: room for 1 more" in note for note in watcher.notes):
            (tmp_path / "worked.txt.over").touch()
        elif not killed and len(worked(tmp_path)) == 2:
            killed.append(
                next(p for p in psutil.process_iter() if "ray::WorkerActor" in " ".join(p.cmdline()))
            )
            killed[0].kill()

    watcher.on_progress = act
    go(joined, tmp_path, [quick_cell(seed, do="until") for seed in range(4)], watcher=watcher)
    assert [record.outcome.status for record in watcher.records] == ["done"] * 4
    assert joined.capacity == 2


def test_a_cell_that_fits_nowhere(nodes: Any, joined: RayCluster) -> None:
    with pytest.raises(UserError, match=r"a cell needs 4 processors, and no node .*the largest has 1 proc"):
        ray_cluster(nodes, cpus_per_cell=4)


def test_a_folder_that_a_node_does_not_see(
    joined: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "file_exists", _blind)
    with pytest.raises(UserError, match=r"node \S+ \w+ of the Ray cluster does not see .* --results"):
        joined.check(tmp_path)


def _blind(path: str) -> bool:
    return False


def _own_caches(path: str) -> bool:
    return "/cache/" not in path


def test_nodes_that_do_not_share_the_cache_share_in_the_results_folder(
    joined: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "file_exists", _own_caches)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    store, watcher = Store(tmp_path / "far"), RecordingWatcher()
    store.prepare()
    pool = WorkerPool(ExecutorOptions(device="cpu", resources=Resources(workers=1)), joined)
    # Both of them go out from one source stage.
    cells = [tiny_cell(shots=shots) for shots in (1, 2)]
    try:
        pool.prepare([cells[0].backbone], print)
        pool.run(cells, "tiny", {"full-finetune": digests("full-finetune")}, store, watcher)
    finally:
        pool.close()
    assert any(f"shared in '{store.root / 'artifacts'}'" in note for note in watcher.notes)
    shared = [bool(record.cost.stages["source"].shared_seconds) for record in watcher.records]
    assert sorted(shared) == [False, True]
    assert [*(store.root / "artifacts" / "stages").iterdir()]
    assert not [*(tmp_path / "cache").glob("artifacts/*")]


def test_other_versions(nodes: Any, joined: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # The driver's own versions are read here; those of the nodes in processes of theirs.
    from bench.executors import compatibility

    monkeypatch.setattr(compatibility, "version", lambda package: "0.0.1")
    with pytest.raises(
        UserError, match=r"node .* has torch \d\S+ instead of 0\.0\.1.*: install the same on all"
    ):
        ray_cluster(nodes)


def test_how_many_cells_fit() -> None:
    assert CellResources(2).capacity({"CPU": 7.0}) == 3
    assert CellResources(1, 0.25).capacity({"CPU": 8.0, "GPU": 1.0}) == 4
    assert CellResources(1, 1 / 3).capacity({"CPU": 64.0, "GPU": 2.0}) == 6
    assert CellResources(1, 0, 4e9).capacity({"CPU": 8.0, "memory": 9e9}) == 2
    assert CellResources(1, 1.0).capacity({"CPU": 8.0}) == 0


def test_nobody_answers(tmp_path: Path) -> None:
    process = bench("run", "--suite", "smoke", "--executor", "ray", "--address", "127.0.0.1:9", cwd=tmp_path)
    assert process.returncode == 2
    assert re.search(r"^error: cannot reach a Ray cluster at '127.0.0.1:9'", process.stderr, re.M)
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_the_same_predictions_as_without_a_cluster(nodes: Any, tmp_path: Path) -> None:
    command = ["run", "--suite", "smoke", "--backbone", "test_efficientnet.untrained"]
    command += ["--methods", "full-finetune", "--seeds", "0,1"]
    local = bench(*command, "--results", "local", cwd=tmp_path, OMP_NUM_THREADS="1")
    assert local.returncode == 0, local.stderr
    far = bench(*command, "--results", "far", "--executor", "ray", "--address", nodes.address, cwd=tmp_path)
    assert far.returncode == 0, far.stderr
    one, two = Store(tmp_path / "local"), Store(tmp_path / "far")
    assert one.keys() == two.keys()
    for record in one.records():
        other = two.read(record.key)
        assert other is not None
        assert other.evaluations == record.evaluations
        assert_equal(two.predictions(other), one.predictions(record))


@pytest.mark.slow
def test_a_cluster_of_the_command_line_that_asks_for_a_token(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    home |= {"BENCH_CACHE": str(tmp_path / "cache")}

    def start(*options: str) -> None:
        resources = ["--num-cpus=1", f"--object-store-memory={STORE}", "--disable-usage-stats"]
        python("-m", "ray.scripts.scripts", "start", *resources, *options, cwd=tmp_path, **home)

    # As a cluster that was started here before has left it.
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    try:
        start("--head", f"--port={port}", "--include-dashboard=false")
        command = ["run", "--suite", "smoke", "--backbone", "test_efficientnet.untrained", "--seeds", "0"]
        command += ["--methods", "linear-probe", "--executor", "ray", "--address", f"127.0.0.1:{port}"]
        refused = bench(*command, "--results", "far", cwd=tmp_path, **home)
        assert refused.returncode == 2
        assert "if it asks for a token, set RAY_AUTH_MODE=token" in refused.stderr.splitlines()[-1]
        done = bench(*command, "--results", "far", cwd=tmp_path, RAY_AUTH_MODE="token", **home)
        assert done.returncode == 0, done.stderr
        assert {record.outcome.status for record in Store(tmp_path / "far").records()} == {"done"}
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if str(port) in " ".join(process.info["cmdline"] or []):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
