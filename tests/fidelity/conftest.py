"""Peers: published software whose losses and gradients ours are compared with, on the same tensors."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
import sklearn
import torch


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Compute in double precision, by default: peers make tensors of their own."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import of a peer's module; skips the test where the peer is not installed, and only there."""
    monkeypatch.setattr(np, "float", float, raising=False)  # dalib is older than NumPy 1.24.

    def load(module: str) -> ModuleType:
        name = module.split(".", maxsplit=1)[0]
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: make peers")
        # skada changes scikit-learn's settings for the whole process; qpsolvers warns that it has no solver,
        # and needs none here.
        with sklearn.config_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)

    return load
