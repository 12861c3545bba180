"""Conclusions in sentences, no stronger than the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.core.text import counted
from bench.report.statistics.generality import Spread
from bench.report.statistics.summary import Difference, difference
from bench.report.tables import formats
from bench.report.tables.gains import GainParts, by_shots
from bench.report.tables.leaderboard import TASK, Block, Leaderboard, Standing
from bench.report.tables.methods.decision import Decision, decide
from bench.report.tables.negative_transfer import of_block

NAMED = 3
"""Methods named in a sentence before the rest are only counted."""


@dataclass(frozen=True)
class Answer:
    """Conclusions about one block in sentences, each empty where there is nothing to say.

    text: the best method, its lead, and what is as good; ideas: of methods and their recipes; harm: by the
    source or by adapting.
    """

    decision: Decision
    text: str
    ideas: str = ""
    harm: str = ""

    @property
    def block(self) -> Block:
        """Block that the answer is about."""
        return self.decision.board.block


def answer(board: Leaderboard, transfer: pd.DataFrame, parts: Sequence[GainParts] = ()) -> Answer:
    """Name the best method of a block, its lead, what is as good, ideas and negative transfer.

    Args:
        transfer: the table of `bench.report.statistics.summary.negative_transfer`, of all blocks.
        parts: what `bench.report.tables.gains.gain_parts` found, of all blocks.
    """
    decision, best = decide(board), board.best
    if best is None:
        return Answer(decision, "Nothing can be compared yet.")
    ideas = _ideas([row for row in parts if row.block == board.block])
    harm = _negative_transfer(board.block, transfer)
    if board.compared == 1:
        over = counted(board.cells, "cell")
        return Answer(decision, f"Only {best.method} has results, on {over}.", ideas, harm)
    text = f"{_leaders(board, best)}{_gain(board, best)} {_alike(board)}"
    return Answer(decision, text, ideas, harm)


def _leaders(board: Leaderboard, best: Standing) -> str:
    """Name the best method, and those whose results are equal to its."""
    first = f"{best.method} has the highest {board.block.words.metric}"
    equal = [row.method for row in board.rows if row is not best and row.accuracy == best.accuracy]
    verb = "has" if len(equal) == 1 else "have"
    return f"{first}, as {formats.listed(equal, most=NAMED)} {verb}" if equal else first


def _gain(board: Leaderboard, best: Standing) -> str:
    if best.is_baseline:
        return ", and it is the baseline."
    gain = best.gain
    if gain.points is None:
        return f"; the baseline {board.baseline} has no results to compare it with."
    between = f" (95 % interval {formats.interval(gain.interval, signed=True)})" if gain.interval else ""
    size = formats.points(abs(gain.points)).lstrip("+")
    return f", {size} points above {board.baseline}{between}."


def _alike(board: Leaderboard) -> str:
    """Name the methods that are not separable from the best."""
    if not board.rivals:
        return f"It is told apart from {'the other' if board.compared == 2 else 'all others'}."
    verb = "is" if len(board.rivals) == 1 else "are"
    return f"{formats.listed(list(board.rivals), most=NAMED)} {verb} not separable from it."


def generality(spreads: Mapping[Block, Sequence[Spread]], boards: Sequence[Leaderboard]) -> str:
    """Say in a sentence whether the leads of the best methods would hold for other domains.

    Args:
        spreads: of the methods of each block (`bench.report.statistics.generality.spreads`).
    """
    leads = [
        (board, next((row.gain for row in spreads[board.block] if row.method == board.best.method), None))
        for board in boards
        if board.best and not board.best.is_baseline
    ]
    known = [(board, gain) for board, gain in leads if gain]
    if not known:
        return "How other domains than these would do cannot be said." if leads else ""
    holds = [
        f"{board.block.short} {formats.interval(gain, signed=True)}" for board, gain in known if gain.low > 0
    ]
    may_not = [
        f"{board.block.short} {formats.interval(gain, signed=True)}" for board, gain in known if gain.low <= 0
    ]
    over = f"over {known[0][0].baseline}"
    parts = [
        f"the best one's lead {over} holds in points with {formats.listed(holds)}" if holds else "",
        f"{'it' if holds else f'the best one’s lead {over}'} may vanish with {formats.listed(may_not)}"
        if may_not
        else "",
    ]
    return f"On other domains like these {', and '.join(filter(None, parts))} (95 % intervals)."


def _ideas(parts: Sequence[GainParts]) -> str:
    """Say what the ideas of methods and their recipes are worth, clear ones and large ones first."""
    ranked = sorted(parts, key=lambda row: (not row.idea.clear, -abs(row.idea.points or 0.0)))
    named = [
        f"{row.method}: its idea {_worth(row.idea)}"
        + ("." if row.recipe.points is None else f", its recipe {_worth(row.recipe)}.")
        for row in ranked[: NAMED - 1]
    ]
    rest = ranked[NAMED - 1 :]
    clear = sum(row.idea.clear for row in rest)
    more = f"Other ideas with a clear effect: {clear} of {len(rest)}." if rest else ""
    return " ".join(filter(None, [*named, more]))


def _worth(gap: Difference) -> str:
    """Worth of something in points, as a verb's end of a sentence."""
    if gap.interval is None:
        return f"makes no clear difference ({formats.points(gap.points)} points)"
    between = f"95 % interval {formats.interval(gap.interval, signed=True)}"
    if gap.clear and gap.points is not None:
        size = formats.points(abs(gap.points)).lstrip("+")
        return f"{'loses' if gap.lower else 'gains'} {size} points ({between})"
    return f"makes no clear difference ({formats.points(gap.points)} points, {between})"


def _negative_transfer(block: Block, transfer: pd.DataFrame) -> str:
    """Count the pairs on which what was used beside target labels made a method worse."""
    rows = of_block(transfer, block)
    if rows.empty:
        return ""
    what = (
        f"Adapting to unlabelled target {block.words.items}" if block.supervision.no_labels else "The source"
    )
    rows = rows.astype({"negative": int, "clear": int})
    counts = rows.groupby("method")[["negative", "clear"]].sum().assign(pairs=rows.groupby("method").size())
    worse = counts[counts["negative"] > 0].sort_values(["negative", "clear"], ascending=False)
    if worse.empty:
        return f"{what} hurt on no pair."
    named = [
        f"{row.Index} on {row.negative} of {counted(row.pairs, 'pair')}"
        + (f" (clearly on {row.clear})" if row.clear else " (nowhere clearly)")
        for row in worse.head(NAMED - 1).itertuples()
    ]
    rest = len(worse) - len(named)
    more = f", and {counted(rest, 'other method')} somewhere" if rest > 0 else ""
    return f"{what} hurt {formats.listed(named)}{more}."


def worth(frame: pd.DataFrame, boards: Sequence[Leaderboard]) -> list[str]:
    """Worth of labels and of a source, each of one method on the same pairs with and without them."""
    sentences = []
    for kind in dict.fromkeys(board.block.kind for board in boards):
        table = by_shots(frame, kind).dropna()
        if table.shape[1] < 2 or table.empty:
            continue
        first, last = table.columns[0], table.columns[-1]
        method = table[last].idxmax()
        low, high = table.loc[method, first], table.loc[method, last]
        sentences.append(
            f"Labels ({kind}): {method} goes from {formats.percent(low)} % with {_shots(first)} "
            f"to {formats.percent(high)} % with {_shots(last)}."
        )
    for board in boards:
        if board.block.kind != "pretrained" or board.best is None or board.block.supervision.no_labels:
            continue
        method = board.best.method
        alone = board.block.of(frame)
        for kind in ("cross-domain", "cross-task", "cross-domain-task"):
            rows = frame[(frame["kind"] == kind) & frame["goal"].isin(alone["goal"])]
            gap = difference(
                rows[rows["method"] == method], alone[alone["method"] == method], on=("goal", "seed")
            )
            if gap.points is not None:
                between = (
                    f" (95 % interval {formats.interval(gap.interval, signed=True)})" if gap.interval else ""
                )
                supervision = board.block.supervision
                sentences.append(
                    f"A source ({kind}): worth {formats.points(gap.points)} points{between} to {method} "
                    f"with {_shots(board.block.shots) if supervision.plain else supervision.few}"
                    f"{_at_equal_steps(frame, rows, method)}."
                )
    return sentences


def _at_equal_steps(frame: pd.DataFrame, rows: pd.DataFrame, method: str) -> str:
    """Worth of a source over runs without one that are as long as both stages together, if there are any.

    Args:
        rows: of a block with a source.
    """
    mine = rows[rows["method"] == method]
    shots = {replace(each, steps=0) for each in mine["supervision"]}
    alone = frame[(frame["kind"] == "pretrained") & (frame["method"] == method)]
    alone = alone[alone["supervision"].map(lambda each: replace(each, steps=0)).isin(shots).eq(True)]
    alone = alone[alone["target_steps"].isin(mine["steps"] + mine["target_steps"])]
    gap = difference(mine, alone, on=(*TASK, "seed"))
    if gap.points is None:
        return ""
    between = f" (95 % interval {formats.interval(gap.interval, signed=True)})" if gap.interval else ""
    return f", and {formats.points(gap.points)}{between} at equal total steps"


def _shots(shots: str) -> str:
    return {"0": "no target labels", "all": "all of them", "1": "1 label per class"}.get(
        shots, f"{shots} labels per class"
    )
