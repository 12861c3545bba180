"""Decision for a block: the most accurate method, the cheapest without a proven loss, those to avoid."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report.scores.bootstrap import Interval
from bench.report.statistics.pairwise import Comparison
from bench.report.tables.leaderboard import Leaderboard, Standing

CHEAPER = 0.8
"""Share of the best one's seconds up to which a method is called cheaper."""


@dataclass(frozen=True)
class Choice:
    """Method beside another: its points more than the other's, and its share of the other's seconds.

    points, interval, share: None where it cannot be said.
    """

    standing: Standing
    other: str
    points: float | None = None
    interval: Interval | None = None
    share: float | None = None


@dataclass(frozen=True)
class Decision:
    """Methods to choose from in a block; None where there is none to name.

    cheap: of the methods without a proven loss against the best, the one that costs least, if clearly less.
        No loss is proven where the interval of the difference, of these two alone, holds zero.
    avoid: methods that take at least the seconds of a better one of these two, and are told apart from it
        with all comparisons allowed for; the one that loses most first.
    """

    board: Leaderboard
    best: Standing | None = None
    cheap: Choice | None = None
    avoid: tuple[Choice, ...] = ()

    @property
    def named(self) -> list[str]:
        """Methods that the decision names first, each once."""
        found = [
            self.best,
            self.cheap and self.cheap.standing,
            self.avoid[0].standing if self.avoid else None,
        ]
        return list(dict.fromkeys(row.method for row in found if row))


def decide(board: Leaderboard) -> Decision:
    """Decision of a leaderboard."""
    best = board.best
    if best is None:
        return Decision(board)
    beside = {
        c.other if c.method == best.method else c.method: c
        for c in board.comparisons
        if best.method in (c.method, c.other)
    }
    rows = [row for row in board.rows if row.method in beside]
    able = [_choice(row, best, beside[row.method]) for row in rows if not _lost(row, beside[row.method])]
    cheap = min(
        (each for each in able if each.share is not None and each.share <= CHEAPER),
        key=lambda each: (each.share, -(each.standing.accuracy or 0.0)),
        default=None,
    )
    return Decision(board, best, cheap, _avoid(board, [best, *([cheap.standing] if cheap else [])]))


def _avoid(board: Leaderboard, better: list[Standing]) -> tuple[Choice, ...]:
    found: dict[str, Choice] = {}
    for other in better:
        for compared in board.comparisons:
            if not compared.different or other.method not in (compared.method, compared.other):
                continue
            name = compared.other if compared.method == other.method else compared.method
            row = next(row for row in board.rows if row.method == name)
            choice = _choice(row, other, compared)
            if (choice.points or 0.0) < 0.0 and (choice.share or 0.0) >= 1.0:
                found[name] = choice
    named = {row.method for row in better}
    rest = [choice for name, choice in found.items() if name not in named]
    return tuple(sorted(rest, key=lambda choice: (choice.points or 0.0, choice.standing.method)))


def _choice(row: Standing, other: Standing, compared: Comparison) -> Choice:
    sign = 1.0 if compared.method == row.method else -1.0
    low, high = sorted(sign * end for end in compared.interval) if compared.interval else (None, None)
    interval = None if low is None or high is None else Interval(low, high)
    share = row.seconds / other.seconds if row.seconds and other.seconds else None
    return Choice(row, other.method, sign * compared.points, interval, share)


def _lost(row: Standing, compared: Comparison) -> bool:
    """Return True if a method is proven to lose against the best one, by their interval alone."""
    interval = compared.interval
    if interval is None:
        # Nothing varies: no doubt about any difference, and nothing to prove about none.
        return abs(compared.points) > 0.0
    return not interval.low <= 0.0 <= interval.high
