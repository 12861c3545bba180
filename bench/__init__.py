"""transfer-bench: which way of transferring a pretrained model should I use, and what does it cost?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.core.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["__version__", "load_results"]


def load_results(path: str | Path) -> pd.DataFrame:
    """Load the records of a results folder as one tidy pandas frame: a row per cell.

    Accuracies (`accuracy last`, and so on by selection rule) and their 95 % intervals (`low`, `high`) are in
    percent, `seconds_own` and `seconds_alone` in seconds. `status` says what became of a cell: `done`,
    `skipped`, `failed` or `unreadable`. docs/reference/columns.md lists all columns.

    Args:
        path: a results folder, the name of a saved baseline, or `REVISION:NAME`, a committed baseline.

    Raises:
        bench.core.errors.UserError: there are no records at `path`.
    """
    from bench.commands.results import notebook

    return notebook.load_results(str(path))
