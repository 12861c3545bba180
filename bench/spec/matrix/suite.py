"""Suites: matrices of cells in TOML files, as frozen, validated models.

Nothing here imports torch, so that listing, planning and resuming start at once.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from bench.core.errors import UserError, check_name, did_you_mean
from bench.core.text import name_fault, printable
from bench.spec.cell import (
    USUAL,
    Augment,
    Budget,
    Compile,
    Domains,
    Episodic,
    Overrides,
    Precision,
    Recipe,
    RequestedSetting,
    RuleName,
    Shots,
    Stream,
)
from bench.spec.matrix.editions import editions
from bench.spec.options import PartOptions
from bench.spec.resources import Resources
from bench.spec.rules import TARGETLESS
from bench.spec.scenarios import KINDS
from bench.spec.scenarios.parts import PartsKind
from bench.spec.toml import Frozen, read_toml

SUITES = Path(__file__).parents[2] / "suites"
UNTIL_CONVERGED = "until-converged"
DOUBLED = 4
"""Times that steps are doubled at most, where `budget.steps` are until a cell converges."""

PRESETS = ("paper",)
"""Names of hyperparameters that methods may declare beside their defaults."""


class CellChange(Frozen):
    """Part of a setting that is part of the question too; None: as the suite has it."""

    precision: Precision | None = None
    batch_size: int | None = None


class Settings(Frozen):
    """The `[settings]` table: every combination of these is an axis of the matrix; empty: as usual."""

    device: list[str] = Field([], description="`cpu`, `cuda`, `mps`; one that is not here is skipped")
    threads: list[Annotated[int, Field(ge=1, le=4096)]] = []
    channels_last: list[bool] = []
    compile: list[Compile] = Field(
        [],
        description="torch.compile; minutes for each network on a CPU; `reduce-overhead`: with CUDA graphs",
    )
    precision: list[Precision] = Field([], description="instead of the suite's")
    batch_size: list[Annotated[int, Field(ge=1, le=65_536)]] = Field(
        [], description="instead of the budget's"
    )

    def combinations(self) -> list[tuple[RequestedSetting | None, CellChange]]:
        """Combinations of settings, with their changes to the cell; a single None where none is asked for."""
        named = {name: values for name, values in self if values}
        if not named:
            return [(None, CellChange())]
        found: list[tuple[RequestedSetting | None, CellChange]] = []
        for values in product(*named.values()):
            choice = dict(zip(named, values, strict=True))
            how = {name: choice.pop(name) for name in RequestedSetting.model_fields if name in choice}
            found.append((RequestedSetting(**how), CellChange(**choice)))
        return found


class ScenarioTable(PartOptions):
    """A `[[scenarios]]` table of a suite file: a block of the matrix."""

    kind: str
    sources: list[Domains] | Literal["all"] = Field(
        "all", description='for several together: lists of them, as `[["a", "b"]]`'
    )
    targets: list[str] | Literal["all"] = Field(
        "all", description='for kind generalise also `hold_out`: domains, or `"each"`'
    )
    shots: list[Shots] = Field(min_length=1)
    target_classes: Literal["all", "new"] | Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        "all",
        description="for kind pretrained: `new`, those that are the target's in the task kinds; "
        "for kind partial: the first N of the classes",
    )
    unknown: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="for kind open: the last N of the classes, which the source lacks"
    )
    episodes: Episodic | None = Field(None, description="evaluate on episodes instead of on all classes")
    stream: Stream | None = Field(None, description="test items come once, so many at a time, in this order")

    @field_validator("kind")
    @classmethod
    def _is_a_kind(cls, name: str) -> str:
        if name not in KINDS:
            raise ValueError(f"unknown kind '{name}': {did_you_mean(name, KINDS)}")
        return name

    @model_validator(mode="before")
    @classmethod
    def _holds_targets_out(cls, data: Any) -> Any:
        """Take `hold_out` for the targets of a kind that shows them to nobody."""
        if not isinstance(data, dict) or "hold_out" not in data:
            return data
        if data.get("kind") in KINDS and KINDS[data["kind"]].shows_target:
            raise ValueError(f"kind '{data['kind']}' holds no domain out: name 'targets'")
        if "targets" in data:
            raise ValueError("'hold_out' names the targets: leave out 'targets'")
        held_out = data["hold_out"]
        rest = {name: value for name, value in data.items() if name != "hold_out"}
        return {**rest, "targets": "all" if held_out == "each" else held_out}

    def _check_numbers(self) -> None:
        """Check that a number of classes is said where the kind takes one, and nowhere else."""
        said = {
            "target_classes": isinstance(self.target_classes, int),
            "unknown": self.unknown is not None,
        }
        takes = KINDS[self.kind].takes
        if takes and not said.pop(takes):
            raise ValueError(f"needs a number of classes: {takes} = N")
        if other := [name for name, is_said in said.items() if is_said]:
            raise ValueError(f"takes no number of classes as '{other[0]}': remove it")

    @model_validator(mode="after")
    def _possible(self) -> ScenarioTable:
        classes = self.target_classes if isinstance(self.target_classes, str) else "all"
        try:
            KINDS[self.kind].check(self.sources, self.shots, classes)
            self._check_numbers()
            KINDS[self.kind].check_parts(self)
        except ValueError as error:
            raise ValueError(f"kind '{self.kind}' {error}") from None
        for pool in self.sources:
            if both := [name for name in self.targets if not isinstance(pool, str) and name in pool]:
                raise ValueError(f"'{both[0]}' is a target and among its sources: leave it out of one")
        if self.episodes and not {0, "all"}.isdisjoint(self.shots):
            raise ValueError("episodes have a support of 1, 5, ... shots: remove 0 and 'all' from 'shots'")
        if isinstance(KINDS[self.kind], PartsKind):
            for name in ("episodes", "stream"):
                if getattr(self, name):
                    raise ValueError(f"kind '{self.kind}' has no {name}: remove '{name}'")
        if self.stream and self.episodes:
            raise ValueError("episodes are no stream: remove 'episodes' or 'stream'")
        return self


class Gate(Frozen):
    """Limits of `bench compare`; a worsening counts only where it is also separable from noise."""

    max_accuracy_drop: float = Field(
        1.0, ge=0, le=100, description="points of test accuracy, or of the metric that cells are judged by"
    )
    max_slowdown: float = Field(0.15, ge=0, le=1000, description="share by which training may take longer")


class Suite(Frozen):
    """A named matrix: `bench/suites/<name>.toml`, or any file of that form."""

    name: str
    description: str
    dataset: str = Field("", description="default: one's own items, which --data names")
    domains: list[str] | None = Field(None, description="default: the card's default domains")
    classes: Annotated[int, Field(ge=0, le=1_000_000)] | list[str] | None = Field(
        None, description="names, or the first N of the card (largest first); default: all"
    )
    image_size: int = Field(
        64, ge=1, le=2**20, description="side of an image in pixels; of other items, their length"
    )
    augment: Augment = "crop-flip"
    precision: Precision = "fp32"
    transductive: bool = Field(
        False, description="methods adapt to the target's test items, unlabelled, not to its training items"
    )
    unsplit: bool = Field(
        False,
        description="hold no item out: sources are trained on, targets adapted to and tested on, as a whole",
    )
    headline: RuleName = Field(
        "last",
        description="rule that selects the evaluation that is a cell's result: docs/reference/protocol.md",
    )
    backbones: list[str] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    baseline: str = Field("linear-probe", description="method that gains are measured against")
    controls: bool = Field(False, description="run the control that each method declares beside it")
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field([0], min_length=1)
    budget: Budget = Budget()
    steps: list[Annotated[int, Field(ge=1, le=10_000_000)]] = Field(
        [], description="axis of the matrix; what a list `budget.steps` becomes"
    )
    recipe: Recipe = USUAL
    settings: Settings = Settings()
    scenarios: list[ScenarioTable] = Field(min_length=1)
    preset: str | None = Field(
        None,
        description="`paper`: hyperparameters as published, of methods that declare them; `set` comes first",
    )
    set: Overrides = Field({}, description="hyperparameters by method")
    gate: Gate = Gate()
    executor: Resources = Resources()

    @model_validator(mode="before")
    @classmethod
    def _steps_are_an_axis(cls, data: Any) -> Any:
        """Take several `budget.steps` for an axis: each cell has a budget of its own.

        Until cells converge they begin with the usual steps, and have so many times as many at most.
        """
        budget: Any = data.get("budget") if isinstance(data, dict) else None
        steps = budget.get("steps") if isinstance(budget, dict) else None
        if steps == UNTIL_CONVERGED:
            usual = Budget().steps
            return {**data, "budget": {"longest": usual * 2**DOUBLED, **budget, "steps": usual}}
        if not isinstance(steps, list) or not steps:
            return data
        return {**data, "steps": steps, "budget": {**budget, "steps": steps[0]}}

    @model_validator(mode="after")
    def _every_budget_is_possible(self) -> Suite:
        for steps in self.steps:
            Budget.model_validate({**self.budget.model_dump(), "steps": steps})
        return self

    @property
    def budgets(self) -> list[Budget]:
        """Budgets of the suite's cells, one for each number of steps."""
        return [self.budget.model_copy(update={"steps": steps}) for steps in self.steps] or [self.budget]

    @model_validator(mode="after")
    def _tests_what_it_may(self) -> Suite:
        if self.unsplit and not self.transductive:
            raise ValueError(
                "unsplit = true tests on the images that methods adapt to: say so with transductive = true"
            )
        if self.unsplit and any({*table.shots} != {0} for table in self.scenarios):
            raise ValueError(
                "unsplit = true tests on all of the target's images, and shots are among them: "
                "use shots = [0] in every scenario"
            )
        return self

    @model_validator(mode="after")
    def _selects_by_what_is_seen(self) -> Suite:
        unseen = [table.kind for table in self.scenarios if not KINDS[table.kind].shows_target]
        if unseen and self.headline not in TARGETLESS:
            raise ValueError(
                f"rule '{self.headline}' goes by the target's images, which kind '{unseen[0]}' shows nobody: "
                f"use headline = '{TARGETLESS[-1]}'"
            )
        return self

    @field_validator("preset")
    @classmethod
    def _is_a_preset(cls, name: str | None) -> str | None:
        if name is not None and name not in PRESETS:
            raise ValueError(f"there is no preset '{name}': {did_you_mean(name, PRESETS)}")
        return name

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if fault := name_fault(name):
            raise ValueError(f"'{printable(name)}' cannot name a results folder: {fault}")
        return name


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(p.stem for p in SUITES.glob("*.toml"))


def load_suite(name: str) -> Suite:
    """The suite of that name, or of that file when `name` is a path to a `.toml` file.

    Raises:
        UserError: unknown name, unreadable file, unknown key or wrong type, in one line.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise UserError(f"no suite file at '{path}': give a path that exists or a suite's name")
    else:
        known = editions()
        if name in known:
            name = known[name].suite
        check_name("suite", name, [*suite_names(), *known])
        path = SUITES / f"{name}.toml"
    return Suite(**{"name": path.stem, **read_toml(path, Suite)})
