from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from functools import cache as memoized
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bench.data.dataset import Dataset

HERE = Path(__file__).parent
BY_METHOD = ("contracts/test_methods.py", "contracts/test_resume.py", "contracts/test_shapes.py")
LONG_PATHS = ("commands", "executors", "project", "torture")
HEAVY_PATHS = (
    *("commands", "contracts", "engine", "executors", "methods", "networks", "processes", "project"),
    *("report/export", "report/figures", "report/regression", "report/render", "report/trackers"),
    *("report/scores/test_features.py", "report/statistics/test_pairwise.py"),
    *("report/tables/test_facts.py", "report/tables/test_validators.py"),
    *("data/test_emoji.py", "data/test_episodes.py", "data/test_library.py"),
)
HEAVY_IMPORTS = re.compile(
    r"^from tests\.(quick|support\.cells|support\.checkout) import (.*)$", re.MULTILINE
)


@memoized
def heavy(path: Path) -> bool:
    """Return True for a file whose tests train, start workers, run the command line or build pages."""
    if path.relative_to(HERE).as_posix().startswith(HEAVY_PATHS):
        return True
    imports = HEAVY_IMPORTS.findall(path.read_text(encoding="utf-8"))
    return any(module != "support.checkout" or "bench" in names for module, names in imports)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out; what takes long comes first, so that processes end together."""
    for item in items:
        if heavy(item.path):
            item.add_marker("heavy")
    items.sort(key=lambda item: not item.path.relative_to(HERE).as_posix().startswith(LONG_PATHS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share out files among processes, and the largest by methods, as what tests share is of one method."""
    from xdist.scheduler import LoadFileScheduling

    from bench.method.registry import method_modules

    names = sorted(method_modules(), key=len, reverse=True)

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            if not file.endswith(BY_METHOD):
                return file
            words = f"-{test.rstrip(']').rpartition('[')[2]}-"
            return f"{file} {next((name for name in names if f'-{name}-' in words), '')}"

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """One thread for torch, which is not imported for tests that do without."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache folder for the whole session."""
    folder, before = tmp_path_factory.mktemp("cache"), os.environ.get("BENCH_CACHE")
    os.environ["BENCH_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["BENCH_CACHE"]
    else:
        os.environ["BENCH_CACHE"] = before


@pytest.fixture(scope="session")
def emoji(cache: Path) -> Dataset:
    from bench.data.catalog import load_card
    from bench.data.dataset import open_dataset

    return open_dataset(load_card("emoji-home"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for distributions; the registry is asked anew before and after."""
    from bench.method.registry import load_method, method_modules

    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    method_modules.cache_clear()
    yield tmp_path / "site"
    method_modules.cache_clear()
    load_method.cache_clear()
