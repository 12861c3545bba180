from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_dataset
from bench.method.registry import load_method, method_modules


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache folder for the whole session, one thread for torch."""
    folder = tmp_path_factory.mktemp("cache")
    before, threads = os.environ.get("BENCH_CACHE"), torch.get_num_threads()
    os.environ["BENCH_CACHE"] = str(folder)
    torch.set_num_threads(1)
    yield folder
    torch.set_num_threads(threads)
    if before is None:
        del os.environ["BENCH_CACHE"]
    else:
        os.environ["BENCH_CACHE"] = before


@pytest.fixture(scope="session")
def emoji(cache: Path) -> Dataset:
    return open_dataset(load_card("emoji-home"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for distributions; the registry is asked anew before and after."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    method_modules.cache_clear()
    yield tmp_path / "site"
    method_modules.cache_clear()
    load_method.cache_clear()
