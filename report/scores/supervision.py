"""Supervision of a cell: the labels of the target that its result rests on, as tables group by them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from bench.records.selection import RULES
from bench.report.scores.words import Words
from bench.spec.cell import Cell

USUAL = str(Cell.model_fields["headline"].default)
"""Selection rule of results that name no other."""

USES_TARGET_LABELS = frozenset(rule.name for rule in RULES if rule.uses_target_labels)


@dataclass(frozen=True)
class Supervision:
    """Labelled target items per class, episodes, parts, the rule that selects, the budget.

    layout: parts of the target (`bench.spec.cell.Scenario.layout`); empty where it has none.
    episodes: as `5-way`; empty where all classes are evaluated at once.
    rule: the selection rule where it is not the `USUAL` one, else empty: no table mixes rules, and every
        table names them.
    protocol: what the folder's suite does otherwise, likewise (`bench.report.scores.protocol`); else empty.
    steps: of the source stage's budget, where a frame holds several, else 0, and -1 until cells converge: no
        table mixes budgets.
    words: for the items of its cells and their metric; in tables that differ in them, of one cell.

    Supervisions are in the order of their shots, `all` last; at the same shots plain ones come first.
    """

    shots: int | Literal["all"]
    episodes: str = ""
    layout: str = ""
    rule: str = ""
    protocol: str = ""
    steps: int = 0
    words: Words = field(default=Words(), compare=False)

    @classmethod
    def of(cls, cell: Cell) -> Supervision:
        """Supervision of a cell."""
        episodes = cell.scenario.episodes
        rule = "" if cell.headline == USUAL else cell.headline
        steps = -1 if cell.budget.longest else 0
        form, layout = episodes.label if episodes else "", cell.scenario.layout
        return cls(cell.scenario.shots, form, layout, rule, steps=steps, words=Words.of_cell(cell))

    def __lt__(self, other: Supervision) -> bool:
        """Order by number of shots, then by what else there is."""
        return self._order < other._order

    @property
    def _order(self) -> tuple[float, int, list[str | int]]:
        # Numbers in it by their size.
        texts = re.split(r"(\d+)", ", ".join(self._more))
        more = [int(text) if place % 2 else text for place, text in enumerate(texts)]
        return math.inf if self.shots == "all" else self.shots, self.steps, more

    @property
    def label(self) -> str:
        """Text in frames, tables and files, as `5`, `5, 5-way` or `0, chosen by oracle`."""
        return ", ".join([str(self.shots), *self._more])

    @property
    def no_labels(self) -> bool:
        """True where methods saw no target labels, whatever rule selects."""
        return self.shots == 0

    @property
    def plain(self) -> bool:
        """True where the number of shots says everything."""
        return not self._more

    @property
    def title(self) -> str:
        """Words for titles, as `5 labelled target images per class`."""
        labelled = f"1 labelled target {self.words.item} per class"
        one = {0: "no target labels", "all": "all target labels", 1: labelled}
        return self._words(one.get(self.shots, f"{self.shots} labelled target {self.words.items} per class"))

    @property
    def few(self) -> str:
        """Title in few words, as `5 target labels per class`."""
        one = {0: "no target labels", "all": "all target labels", 1: "1 target label per class"}
        return self._words(one.get(self.shots, f"{self.shots} target labels per class"))

    @property
    def short(self) -> str:
        """Title for where there is little room, as `5 labels`."""
        one = {0: "no labels", "all": "all labels", 1: "1 label"}
        return ", ".join([one.get(self.shots, f"{self.shots} labels"), *self._more])

    @property
    def _more(self) -> list[str]:
        return [
            *([self.episodes] if self.episodes else []),
            *([self.layout] if self.layout else []),
            *([f"chosen by {self.rule}"] if self.rule else []),
            *([self.protocol] if self.protocol else []),
            *self._budget,
        ]

    @property
    def _budget(self) -> list[str]:
        return ["until converged"] if self.steps < 0 else [f"{self.steps} steps"] if self.steps else []

    def _words(self, labels: str) -> str:
        uses_labels = " (uses target labels)" if self.rule in USES_TARGET_LABELS else ""
        episodes = [f"{self.episodes} episodes"] if self.episodes else []
        rule = [f"chosen by {self.rule}{uses_labels}"] if self.rule else []
        protocol = [self.protocol] if self.protocol else []
        layout = [self.layout] if self.layout else []
        return ", ".join([labels, *episodes, *layout, *rule, *protocol, *self._budget])
