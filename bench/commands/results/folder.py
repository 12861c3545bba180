"""Results folder that a verb reads: the one that is named, or the one written last."""

from __future__ import annotations

from pathlib import Path

from bench.core.errors import UserError
from bench.core.paths import RESULTS
from bench.records.baselines import open_results
from bench.records.store import Store


def open_named_or_latest(results: str | None) -> Store:
    """Open a results folder, a baseline or `REVISION:NAME`; without one, the folder written last."""
    return open_results(results) if results else Store(latest_folder())


def latest_folder() -> Path:
    """Results folder in which a record was written last.

    Raises:
        UserError: there is none.
    """
    folders = [path for path in RESULTS.glob("*") if (path / "records").is_dir()]
    if not folders:
        raise UserError(f"nothing in '{RESULTS}' yet: python -m bench run --suite quick")
    return max(folders, key=_written)


def _written(folder: Path) -> float:
    """Time at which a record was put into a folder last: the folders of records that are there stay."""
    records = folder / "records"
    return max(path.stat().st_mtime for path in (records, *records.glob("??")))
