"""Completeness of a frame: how many of the suite's cells are recorded, and which records are others'."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from bench.core.text import counted
from bench.report.scores.frame import ASKED, methods_only
from bench.report.scores.words import Words


@dataclass(frozen=True)
class Completeness:
    """Numbers of cells that a suite asks for, of those without a record, and of other records."""

    asked: int | None
    """None where the suite is not known."""
    missing: int
    others: int
    words: Words = field(default=Words(), compare=False)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Completeness:
        """Completeness of a frame of `scores.frame.load_frame`."""
        asked = frame.attrs.get(ASKED)
        missing = int((frame["status"] == "missing").sum())
        # Controls are records of the suite's methods, also where it is not known that they were asked for.
        return cls(
            asked,
            missing,
            0 if asked is None else len(methods_only(frame.iloc[asked:])),
            Words.of_frame(frame),
        )

    @property
    def short(self) -> str:
        """Number of cells of the suite that have a record, as `14 of 21 cells`."""
        total = self.asked or 0
        return f"{total - self.missing:,} of {counted(total, 'cell')}"

    @property
    def lines(self) -> list[str]:
        """Lines for the reader: what is missing, and what is not the suite's."""
        if self.asked is None:
            return [
                "The suite of these records is not known here, so cells that have not been run are not "
                "counted. bench report --suite names it."
            ]
        lines = []
        if self.missing:
            lines.append(
                f"Unfinished: {self.short} of the suite; {self.missing:,} have no record yet and are in no "
                "number here."
            )
        if self.others:
            lines.append(
                f"{counted(self.others, 'more record')} answer questions that the suite does not ask: it was "
                "changed since, or run with other options. They are shown too: of other steps, "
                f"{self.words.items} or classes in tables of their own."
            )
        return lines
