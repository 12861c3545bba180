from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from functools import cache as memoized
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bench.data.dataset import Dataset

TRAINING_PATHS = (
    *("contracts", "engine/cell", "executors", "project"),
    *("networks/test_task_parallel.py", "processes/test_malloc.py"),
)
TRAINING_IMPORTS = re.compile(r"^from tests\.(quick|support\.cells|support\.checkout) import (.*)$", re.M)


@memoized
def trains(path: Path) -> bool:
    """Return True for a file whose tests train, start workers or run the command line."""
    if path.relative_to(Path(__file__).parent).as_posix().startswith(TRAINING_PATHS):
        return True
    imports = TRAINING_IMPORTS.findall(path.read_text(encoding="utf-8"))
    return any(module != "support.checkout" or "bench" in names for module, names in imports)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out."""
    for item in items:
        if trains(item.path):
            item.add_marker("training")


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
