"""Where things that are safe to delete are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """`$BENCH_CACHE`, or the user's cache folder for this program."""
    return Path(os.environ.get("BENCH_CACHE") or platformdirs.user_cache_dir("transfer-bench"))
