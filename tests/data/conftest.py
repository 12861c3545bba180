from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and no datasets named in the environment."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    for name in ("BENCH_DATA", "BENCH_OWN_DATA", "BENCH_SKIP_BAD", "BENCH_LEFT_OUT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path
