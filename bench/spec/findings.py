"""Findings of papers as data: what is compared in a suite's cells, and what a reproduction must show."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from bench.core.errors import check_name
from bench.spec.cell import Cell, RuleName, Shots
from bench.spec.rules import VALIDATORS
from bench.spec.toml import Frozen, read_toml

FINDINGS = Path(__file__).parents[1] / "findings"

Measure = Literal["accuracy", "source accuracy", "parameters trained"]
"""Percent: of test images classified right, of held-out source images, of the network's parameters."""


class Where(Frozen):
    """Cells of a suite, by their question; what is None may be anything."""

    kind: str | None = None
    source: str | None = None
    target: str | None = None
    shots: Shots | None = None
    backbone: str | None = None

    def takes(self, cell: Cell) -> bool:
        """True if a cell is one of these."""
        own = {**dict(cell.scenario), "backbone": cell.backbone}
        return all(value is None or own[name] == value for name, value in self)


class Term(Frozen):
    """Side of a comparison, or part of one: a method, or its control, and the rule that it is read by."""

    method: str
    control: bool = Field(False, description="the method's control instead: its recipe without its idea")
    rule: RuleName = Field("last", description="selects the evaluation")
    guarded: bool = Field(True, description="false: the rule may select a model that has collapsed")
    where: Where = Field(Where(), description="where it differs from the other terms in more")

    @model_validator(mode="after")
    def _has_a_guard(self) -> Term:
        if not self.guarded and self.rule not in VALIDATORS:
            raise ValueError(f"rule '{self.rule}' has no guard: only those without labels have")
        return self


class Comparison(Frozen):
    """Comparison over the same pairs of domains and seeds: the sum of `plus` less that of `minus`."""

    about: str
    plus: list[Term] = Field(min_length=1)
    minus: list[Term] = Field(min_length=1)
    measure: Measure = "accuracy"
    expected: Literal["higher", "lower", "equal"]
    margin: float = Field(
        gt=0, le=100, description="points: smallest effect that matters; largest that counts as equal"
    )
    where: Where = Where()

    @model_validator(mode="after")
    def _balanced(self) -> Comparison:
        if len(self.plus) != len(self.minus):
            raise ValueError("'plus' and 'minus' name as many terms: two of each are a difference of gains")
        return self

    @property
    def terms(self) -> list[Term]:
        """Those of `plus`, then those of `minus`."""
        return [*self.plus, *self.minus]


class Ranking(Frozen):
    """Rank correlation of LogME of networks' features, as they were, with a probe's accuracy."""

    about: str
    method: str
    expected: Literal["higher"] = "higher"
    margin: float = Field(gt=0, lt=1, description="smallest rank correlation that matters")
    where: Where = Where()

    @property
    def terms(self) -> list[Term]:
        """The probe alone."""
        return [Term(method=self.method)]


class Finding(Frozen):
    """Finding of a paper: `bench/findings/<name>.toml`."""

    name: str
    title: str
    paper: str
    url: str = Field(pattern="^https://")
    says: str
    suite: str
    where: Where = Field(Where(), description="of all comparisons")
    comparisons: list[Comparison] = []
    rankings: list[Ranking] = []

    @model_validator(mode="after")
    def _asks(self) -> Finding:
        if not self.asked:
            raise ValueError("there is nothing to measure: add [[comparisons]]")
        return self

    @property
    def asked(self) -> list[Comparison | Ranking]:
        """Everything that is measured, in order."""
        return [*self.comparisons, *self.rankings]

    def takes(self, asked: Comparison | Ranking, term: Term, cell: Cell) -> bool:
        """True if a cell of its method is one of a term."""
        return all(part.where.takes(cell) for part in (self, asked, term))


def finding_names() -> list[str]:
    """Names of the findings, in order."""
    return sorted(path.stem for path in FINDINGS.glob("*.toml"))


def load_finding(name: str) -> Finding:
    """Load the finding of that name; raises a `UserError` with a suggestion when there is none."""
    check_name("finding", name, finding_names())
    path = FINDINGS / f"{name}.toml"
    return Finding(**{"name": name, **read_toml(path, Finding)})
