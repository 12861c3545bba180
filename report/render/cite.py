"""Commands to get the numbers again, and their citation."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pandas as pd

from bench.core.text import counted
from bench.data.card import packaged
from bench.data.catalog import card_names, load_card
from bench.report.scores.words import Words
from bench.report.tables import formats
from bench.report.tables.record_links import quoted
from bench.spec.matrix.suite import suite_names

PACKAGE = "transfer-bench"


def commands(frame: pd.DataFrame, folder: str) -> list[tuple[str, str]]:
    """(what it does, command) to run the suites again, this page included, and to read the frame."""
    where = quoted(folder)
    suites = [str(name) for name in sorted(frame["suite"].dropna().unique())]
    found = [
        (f"Run {name} again, from nothing, and build its page", f"python -m bench run --suite {name} --fresh")
        for name in suites
        if name in suite_names()
    ]
    found.append(("Build this page from the records", f"python -m bench report --results {where}"))
    found.append(("Read all numbers as a pandas frame", f"import bench; bench.load_results({folder!r})"))
    return found


def citation(frame: pd.DataFrame) -> list[str]:
    """Sentences that name what these numbers rest on: the program, the suite, the code, the data."""
    try:
        program = f"{PACKAGE} {version(PACKAGE)}"
    except PackageNotFoundError:
        program = PACKAGE
    done, words = frame[frame["status"] == "done"], Words.of_frame(frame)

    def values(column: str, most: int = 3) -> str:
        return formats.listed([str(value) for value in sorted(done[column].dropna().unique())], most)

    parts = [
        f"suite {values('suite')}",
        f"code {values('digest_engine')}",
        f"data {values('digest_dataset')}",
    ]
    if revision := values("git_revision"):
        parts.append(f"revision {revision}")
    parts.append(f"{counted(len(done), 'cell')}, {str(done['created'].max())[:10]}")
    sentences = [f"{program}, {', '.join(parts)}."] if len(done) else []
    for name in sorted(set(done["dataset"].unique()) & set(card_names())):
        card = load_card(name)
        sentences.append(f"{name}: {card.citation or card.title}.".replace("..", "."))
    for name, digest in sorted(set(zip(done["dataset"], done["digest_dataset"], strict=True))):
        if not packaged(name):
            sentences.append(
                f"{name}: own {words.items}, FOLDER in the commands; their content has digest {digest}."
            )
    return sentences
