"""Tables as plain values, the same for the page, the terminal and Markdown."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.core.text import counted
from bench.records.record import BUSY
from bench.records.selection import HEADLINE, RULES
from bench.report.scores.bootstrap import Interval
from bench.report.scores.frame import STATUSES, accuracy_column
from bench.report.scores.supervision import USUAL, Supervision
from bench.report.scores.words import Words
from bench.report.statistics.pairwise import Comparison, comparisons, not_separable, places, rivals
from bench.report.statistics.summary import (
    NOTHING,
    Difference,
    difference,
    mean_accuracy,
    scored,
    seed_deviation,
    shared,
)
from bench.report.tables.formats import DASH, listed
from bench.spec.scenarios import KINDS


@dataclass(frozen=True)
class Block:
    """Cells that belong in one table: one transfer kind under one supervision."""

    kind: str
    supervision: Supervision

    @property
    def shots(self) -> str:
        """Label of the supervision, as frames and files hold it."""
        return self.supervision.label

    @property
    def title(self) -> str:
        """Kind and supervision in words."""
        return f"{self.kind}, {self.supervision.title}"

    @property
    def short(self) -> str:
        """Title for where there is little room."""
        return f"{self.supervision.short}, {self.kind}"

    @property
    def source(self) -> str:
        """Source that the kind takes, in words."""
        return KINDS[self.kind].source

    @property
    def words(self) -> Words:
        """Words for the items and the metric of the cells."""
        return self.supervision.words

    @property
    def slug(self) -> str:
        """Name for anchors."""
        return re.sub(r"[^\w-]+", "-", f"{self.kind}-{self.shots}")

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of this block in a frame."""
        return frame[(frame["kind"] == self.kind) & (frame["shots"] == self.shots)]


@dataclass(frozen=True)
class Standing:
    """Standing of one method in a leaderboard. Percent, points, seconds, MiB; None: it cannot be said.

    items: seen in a cell in all stages and streams, replayed and unlabelled ones included.
    unconverged: cells that were still learning at their last evaluation (`bench.records.convergence`).
    place, letters: see `bench.report.statistics.pairwise.Standings`.
    """

    method: str
    is_baseline: bool
    accuracy: float | None
    interval: Interval | None
    deviation: float | None
    gain: Difference
    seconds: float | None
    memory: float | None
    done: int
    requested: int
    otherwise: str
    items: float | None = None
    unconverged: int = 0
    place: tuple[int, int] | None = None
    letters: str = ""


@dataclass(frozen=True)
class UpperBound:
    """Mean accuracy in percent of the best method that trained on all target labels, without a source."""

    method: str
    accuracy: float


@dataclass(frozen=True)
class Leaderboard:
    """Methods of a block, best first, over the cells that all of them share.

    upper: what training on all target labels reaches, on the same targets, for reference; it has no place.
    """

    block: Block
    baseline: str
    rows: tuple[Standing, ...]
    cells: int
    seeds: int
    pairs: int
    rivals: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    upper: UpperBound | None = None

    @property
    def best(self) -> Standing | None:
        """Most accurate method, where one can be named."""
        return self.rows[0] if self.rows and self.rows[0].accuracy is not None else None

    @property
    def compared(self) -> int:
        """Number of methods that have an accuracy."""
        return sum(row.accuracy is not None for row in self.rows)


def blocks(frame: pd.DataFrame) -> list[Block]:
    """Blocks of a frame: by kind, then by supervision."""
    known = frame[frame["kind"].notna()]
    pairs = set(zip(known["kind"], known["supervision"], strict=True))
    return [Block(*pair) for pair in sorted(pairs)]


def leaderboards(frame: pd.DataFrame, baseline: str, rule: str = HEADLINE) -> list[Leaderboard]:
    """Leaderboard of each block."""
    return [leaderboard(frame, block, baseline, rule) for block in blocks(frame)]


def _best_first(row: Standing) -> tuple[bool, float, float, str]:
    """Order by accuracy; of equal ones the one that costs less comes first."""
    seconds = math.inf if row.seconds is None else row.seconds
    return row.accuracy is None, -(row.accuracy or 0.0), seconds, row.method


NEEDED = (
    *("kind", "shots", "method", "status", "question", "seed", "pair", "predictions", "note"),
    *("seconds_alone", "seconds_own", "seconds_waited", "peak_memory_mib", "items_seen", "converged"),
    *("device", "threads", "cpu", "accelerator"),
)
"""Columns that a leaderboard is made of, besides an accuracy; rows have five times as many."""


def leaderboard(frame: pd.DataFrame, block: Block, baseline: str, rule: str = HEADLINE) -> Leaderboard:
    """Rank the methods of a block by mean accuracy under `rule` over the cells that all of them share.

    Methods without a done cell come last, with what became of their cells. `rivals` are the methods that are
    not told apart from the best one.
    """
    rows = block.of(frame[[*NEEDED, accuracy_column(rule)]])
    cells = shared(rows, rule)
    reference = cells[cells["method"] == baseline]
    standings = []
    for method, requested in rows.groupby("method", sort=True):
        mine = cells[cells["method"] == method]
        accuracy, interval = mean_accuracy(mine, rule)
        is_baseline = method == baseline
        standings.append(
            Standing(
                method=str(method),
                is_baseline=is_baseline,
                accuracy=accuracy,
                interval=interval,
                deviation=seed_deviation(mine, rule),
                gain=NOTHING if is_baseline else difference(mine, reference, rule),
                seconds=median(mine["seconds_alone"]),
                memory=median(mine["peak_memory_mib"]),
                done=int((requested["status"] == "done").sum()),
                requested=len(requested),
                otherwise=_otherwise(requested),
                items=median(mine["items_seen"]),
                unconverged=int(requested["converged"].eq(False).sum()),
            )
        )
    standings.sort(key=_best_first)
    ranked = [row.method for row in standings if row.accuracy is not None]
    compared = comparisons(cells, rule)
    where = places(ranked, compared)
    letters = not_separable(ranked, compared)
    methods = max(1, cells["method"].nunique())
    return Leaderboard(
        block=block,
        baseline=baseline,
        rows=tuple(
            replace(row, place=where.get(row.method), letters=letters.get(row.method, ""))
            for row in standings
        ),
        cells=len(cells) // methods,
        seeds=cells["seed"].nunique(),
        pairs=cells["pair"].nunique(),
        rivals=rivals(ranked, compared),
        comparisons=tuple(compared),
        notes=tuple(_notes(rows, cells, baseline, rule, block.words)),
        upper=_upper_bound(frame, block, rule),
    )


TASK = ("dataset", "target", "class_names", "backbone", "image_size", "metric", "headline")
"""Columns that a block's cells and those of its upper bound have in common."""


def _upper_bound(frame: pd.DataFrame, block: Block, rule: str) -> UpperBound | None:
    """Upper bound of a block: the best method that all targets of the block have with all their labels.

    Its mean is over the targets of the cells that the block's means are over, each as often as there.
    """
    if block.kind == "pretrained" and block.supervision.shots == "all":
        return None
    asked = shared(block.of(frame), rule)
    one = asked[asked["method"] == asked["method"].min()]
    wanted = Counter(one[list(TASK)].itertuples(index=False, name=None))
    everything = frame["supervision"].map(lambda each: getattr(each, "shots", None) == "all").eq(True)
    cells = scored(frame[(frame["kind"] == "pretrained") & everything], rule)
    if cells.empty or not wanted:
        return None
    cells = cells[[row in wanted for row in cells[list(TASK)].itertuples(index=False, name=None)]]
    means = {}
    for (method, steps), mine in cells.groupby(["method", "steps"]):
        found = mine.groupby(list(TASK))[accuracy_column(rule)].mean().to_dict()
        if len(found) == len(wanted):
            total = sum(count * found[task] for task, count in wanted.items())
            means[str(method), steps] = total / wanted.total()
    if not means:
        return None
    best = max(means, key=lambda which: means[which])
    return UpperBound(best[0], means[best])


def median(column: pd.Series) -> float | None:
    """Median of what is known of a column; None where nothing is."""
    return float(column.median()) if column.notna().any() else None


def _otherwise(rows: pd.DataFrame) -> str:
    """Statuses of the cells that are not done, as `2 skipped, 1 failed`."""
    counts = rows["status"].value_counts()
    return ", ".join(f"{counts[status]} {status}" for status in STATUSES[1:] if status in counts)


def _notes(rows: pd.DataFrame, cells: pd.DataFrame, baseline: str, rule: str, words: Words) -> list[str]:
    """Notes for the reader of a leaderboard, and what cannot be said."""
    done = scored(rows, rule)
    if done.empty:
        return ["No cell is done."]
    counts = done.groupby("method").size()
    notes = []
    if cells.empty:
        notes.append("No cell is done by every method, so there is no fair mean to compare.")
    elif len(cells) < len(done):
        notes.append("Done cells that other methods lack are left out of the means.")
    if counts.min() < counts.max():
        least = [str(name) for name in counts.index[counts == counts.min()]]
        limits = "limits" if len(least) == 1 else "limit"
        done_each = counted(int(counts.min()), "done cell")
        notes.append(f"{listed(least)} ({done_each}) {limits} which cells all share.")
    if baseline not in counts.index:
        notes.append(f"The baseline {baseline} has no done cell here, so there are no gains.")
    if done["seed"].nunique() == 1:
        notes.append(
            "One seed: how much another run would differ cannot be said; all here is for these runs."
        )
    if done["pair"].nunique() == 1:
        notes.append("One pair: whether this holds for other domains cannot be said.")
    if len(done[["device", "threads", "cpu", "accelerator"]].drop_duplicates()) > 1:
        notes.append("Cells ran on different machines or settings: compare seconds with care.")
    if len(done[["device", "threads"]].drop_duplicates()) > 1:
        threads = listed(sorted({str(count) for count in done["threads"]}))
        notes.append(
            f"Cells ran on different devices or with different threads ({threads}): their numbers differ for "
            f"that alone, in small suites by many points of {words.metric}."
        )
    waited = (done["seconds_waited"] / (done["seconds_own"] + done["seconds_waited"])).astype(float)
    if busy := int((waited > BUSY).sum()):
        notes.append(
            f"{busy} of {counted(len(done), 'done cell')} waited for a processor for more than "
            f"{100 * BUSY:.0f} % of their time, which seconds leave out; a quiet machine may need fewer."
        )
    moving = done[done["converged"].eq(False)]
    if len(moving):
        names = listed(sorted(moving["method"].unique()))
        notes.append(
            f"{len(moving)} of {counted(len(done), 'done cell')} had not converged at the last evaluation "
            f"({names}): more steps would have changed them."
        )
    lost = int((done["note"] != "").sum())
    if lost:
        notes.append(
            f"{counted(lost, 'cell')} had test {words.items} without finite logits; they count as wrong."
        )
    return notes


@dataclass(frozen=True)
class RuleScore:
    """Scores of one method under every selection rule: percent, or None where it cannot be said."""

    method: str
    accuracy: dict[str, float | None]
    oracle_gap: float | None
    """Points that the oracle's evaluations are above the last ones, over the cells that have both."""


ORACLE = "oracle"


def by_rule(frame: pd.DataFrame, block: Block) -> tuple[list[RuleScore], dict[str, int]]:
    """Mean accuracy by method and selection rule, and over how many shared cells each rule's mean goes."""
    rows = block.of(frame)
    means, cells = {}, {}
    for rule in RULES:
        mine = shared(rows, rule.name)
        means[rule.name] = mine.groupby("method")[accuracy_column(rule.name)].mean()
        cells[rule.name] = len(mine) // max(1, mine["method"].nunique())
    methods = sorted(scored(rows)["method"].unique())
    known = {name: {m: float(v) for m, v in mean.items()} for name, mean in means.items()}
    both = shared(rows, ORACLE).dropna(subset=[accuracy_column(USUAL)])
    gaps = both[accuracy_column(ORACLE)] - both[accuracy_column(USUAL)]
    gap = gaps.groupby(both["method"]).mean().to_dict()
    table = [
        RuleScore(m, {name: values.get(m) for name, values in known.items()}, gap.get(m)) for m in methods
    ]
    return table, cells


def coverage(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells by method (rows) and status (columns `STATUSES`); damaged records of unknown method last."""
    method = frame["method"].fillna("(unknown)")
    counts = pd.crosstab(method, frame["status"]) if len(frame) else pd.DataFrame()
    return counts.reindex(columns=list(STATUSES), fill_value=0)


def reasons(frame: pd.DataFrame) -> pd.DataFrame:
    """Reasons of cells that are not done, by status and method, with `cells` and one `key` and `log`."""
    rows = frame[frame["status"] != "done"].copy()
    rows["method"] = rows["method"].fillna("(unknown)")
    rows[["reason", "log"]] = rows[["reason", "log"]].fillna("")
    found = rows.groupby(["status", "method", "reason"], as_index=False).agg(
        cells=("key", "size"), key=("key", "first"), log=("log", "first")
    )
    return found.sort_values(
        ["status", "cells", "method"], key=lambda c: c.map(STATUSES.index) if c.name == "status" else c
    )


PROVENANCE = {
    "git_revision": "git revision",
    "digest_engine": "engine digest",
    "digest_dataset": "dataset digest",
    "digest_card": "card digest",
    "digest_weights": "weights digest",
    "data_origin": "{items} from",
    "python": "Python",
    "packages": "packages",
    "platform": "platform",
    "cpu": "processor",
    "accelerator": "accelerator",
    "device": "device",
    "threads": "threads",
    "suite": "asked first by suite",
}


def provenance(frame: pd.DataFrame) -> pd.DataFrame:
    """Provenance of the numbers: `what`, `value`, `records`; more than one value of a thing is a warning."""
    records, words = frame[frame["created"].notna()], Words.of_frame(frame)
    rows = [
        (words.fill(title), _text(value), int(count))
        for column, title in PROVENANCE.items()
        for value, count in records[column].value_counts(dropna=False).items()
    ]
    digests = frame.groupby("method")["digest_method"].value_counts()
    rows += [(f"digest of {method}", str(value), int(count)) for (method, value), count in digests.items()]
    return pd.DataFrame(rows, columns=["what", "value", "records"])


def _text(value: Any) -> str:
    """Text of a column's value; gaps in it turn whole numbers into floats and None into NaN."""
    if pd.isna(value) or value == "":
        return DASH
    return f"{value:g}" if isinstance(value, float) else str(value)
