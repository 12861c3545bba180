"""Results that the tables and figures are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench.report.figures.feature_maps import Maps, feature_maps
from bench.report.scores.frame import methods_only
from bench.report.scores.words import Words
from bench.report.tables import leaderboard
from bench.report.tables.leaderboard import Block, Leaderboard
from bench.report.tables.published import PublishedResults, published


@dataclass(frozen=True)
class Results:
    """Records, the baseline, and the method that is the source stage alone.

    frame: rows of methods; everything: those of their controls too.
    """

    frame: pd.DataFrame
    everything: pd.DataFrame
    baseline: str
    source_alone: str
    boards: tuple[Leaderboard, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, baseline: str, source_alone: str) -> Results:
        """Results of a frame of `bench.report.scores.frame.load_frame`."""
        rows = methods_only(frame)
        boards = tuple(leaderboard.leaderboards(rows, baseline))
        return cls(rows, frame, baseline, source_alone, boards)

    @cached_property
    def maps(self) -> list[Maps]:
        """Maps of features, which take a while."""
        return feature_maps(self.frame)

    @cached_property
    def published(self) -> PublishedResults:
        """Published accuracies beside ours."""
        return published(self.frame, self.source_alone)

    @cached_property
    def words(self) -> Words:
        """Words for the items and the metric of the records."""
        return Words.of_frame(self.everything)

    def blocks(self) -> Iterator[tuple[Block, pd.DataFrame]]:
        """Blocks, each with its rows."""
        for board in self.boards:
            yield board.block, board.block.of(self.frame)
