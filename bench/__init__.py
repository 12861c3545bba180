"""transfer-bench: which way of transferring a pretrained model should I use, and what does it cost?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.core.version import __version__

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import pandas as pd

    from bench.commands.python.results import Results

__all__ = ["__version__", "load_results", "run"]


def run(
    suite: str | os.PathLike[str] | None = None,
    *,
    data: Any = None,
    workers: int | None = None,
    device: str = "auto",
    results: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Results:
    """Run what is missing of a suite; returns its `Results`: `.frame()`, `.leaderboard()`, `.report()`.

    Cells run in processes of their own, which do not import the script that calls this: no main guard is
    needed, whatever start method `multiprocessing` has.

    Args:
        suite: a suite's name or the path of a suite file; by default the suite for one's own items.
        data: one's own items: a folder `<domain>/<class>/*`, a table of paths, texts or numbers, or a frame
            of such, with the columns `label` and `domain`; or images: a dataset of torch whose items are
            (image, label), one of the Hugging Face library, or a dictionary of such by domain. An image is
            one of Pillow, uint8 (height, width[, channels]), a tensor (channels, height, width) of bytes or
            of floats in [0, 1], or a file's content.
        workers: cells at once.
        device: `auto`, `cpu`, `cuda[:i]` or `mps`.
        results: the results folder, by default `results/<suite>`.
        options: as of the command line: `methods`, `source`, `target`, `shots`, `backbone`, `seeds` (one or
            several), `image_size`, `steps`, `controls`, `set` ({method: {hyperparameter: value}}), `fresh`,
            `retry_failed` and `timeout` (seconds of a cell); `label`, `domain`, `group`, `text`, `image` and
            `audio`, which name columns of one's own table, and its `modality`.

    Raises:
        bench.core.errors.UserError: what is wrong, where, and how to mend it, in one line.
        KeyboardInterrupt: with what is kept; the same call goes on from there.
    """
    from bench.commands.python import run as verb

    return verb.run(suite, data, workers, device, results, options)


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
    from bench.commands.python import results

    return results.load_results(str(path))
