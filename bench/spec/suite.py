"""What is asked: suites, scenarios, cells, budgets and settings, as frozen, validated models.

Nothing here imports torch, so that listing, planning and resuming start at once.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from bench.core.errors import UserError, check_name, did_you_mean
from bench.core.text import name_fault, printable
from bench.spec.resources import Resources

SUITES = Path(__file__).parents[1] / "suites"

Kind = Literal["pretrained", "cross-domain", "cross-task", "cross-domain-task"]
TASK_KINDS = ("cross-task", "cross-domain-task")
Shots = Annotated[int, Field(ge=0)] | Literal["all"]
Augment = Literal["none", "crop-flip", "rand-augment"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Compile = bool | Literal["reduce-overhead"]
"""Whether torch.compile is used, and in that mode if one is named, which replays CUDA graphs."""
Value = bool | int | FiniteFloat | str
Overrides = dict[str, dict[str, Value]]


class Frozen(BaseModel):
    """A model that cannot change and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(Frozen):
    """What every method gets equally."""

    steps: int = Field(300, ge=1, description="optimiser steps of the source stage")
    batch_size: int = Field(32, ge=1, description="labelled images a step")
    looks: int = Field(4, ge=1, description="equally spaced evaluations of a stage, the last included")

    trials: int = Field(
        0,
        ge=0,
        description="tuning trials of each method before its cells run; 0: hyperparameters as they are",
    )

    @model_validator(mode="after")
    def _looks_fit(self) -> Budget:
        if self.looks > self.target_steps:
            raise ValueError(
                f"{self.looks} looks do not fit into the {self.target_steps} steps of a target stage"
            )
        return self

    @property
    def target_steps(self) -> int:
        """Optimiser steps of the target stage: half as many as the source stage's."""
        return max(1, self.steps // 2)


class Setting(Frozen):
    """How a cell is computed. Beside the cell's key, so that machines can be compared."""

    device: str = "cpu"
    threads: int = Field(1, ge=1)
    channels_last: bool = True
    compile: Compile = False
    devices: int = Field(1, ge=1)
    """That share each batch."""


def compiled(how: Compile) -> str:
    """How a network was compiled, as tables name it; empty where it was not."""
    return f"compiled ({how})" if isinstance(how, str) else "compiled" if how else ""


class Wanted(Frozen):
    """A setting that a suite asks for; what is None is as the machine has it.

    Cells with one are timed: each runs in a fresh process, and waits for the device after every step.
    """

    device: str | None = None
    threads: int | None = Field(None, ge=1)
    channels_last: bool | None = None
    compile: Compile | None = None

    @property
    def label(self) -> str:
        """As tables name it: `cpu, 2 threads, channels first`."""
        words = [self.device] if self.device else []
        if self.threads:
            words.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
        if self.channels_last is not None:
            words.append("channels last" if self.channels_last else "channels first")
        if self.compile is not None:
            words.append(compiled(self.compile) or "eager")
        return ", ".join(words) or "as usual"


class Settings(Frozen):
    """The `[settings]` table: every combination of these is an axis of the matrix; empty: as usual."""

    device: list[str] = Field([], description="`cpu`, `cuda`, `mps`; one that is not here is skipped")
    threads: list[Annotated[int, Field(ge=1)]] = []
    channels_last: list[bool] = []
    compile: list[Compile] = Field(
        [],
        description="torch.compile; minutes for each network on a CPU; `reduce-overhead`: with CUDA graphs",
    )
    precision: list[Precision] = Field([], description="instead of the suite's")
    batch_size: list[Annotated[int, Field(ge=1)]] = Field([], description="instead of the budget's")

    def combinations(self) -> list[tuple[Wanted | None, dict[str, Any]]]:
        """Each setting, with what it changes of the question; a single None where nothing is asked for."""
        named = {name: values for name, values in self if values}
        if not named:
            return [(None, {})]
        found: list[tuple[Wanted | None, dict[str, Any]]] = []
        for values in product(*named.values()):
            choice = dict(zip(named, values, strict=True))
            how = {name: choice.pop(name) for name in Wanted.model_fields if name in choice}
            found.append((Wanted(**how), choice))
        return found


class Episodic(Frozen):
    """Evaluation on small tasks drawn from the target's classes, instead of on all classes at once.

    An episode is `way` classes with the scenario's shots as support, from the target's training split, and
    `queries` images a class to be judged by, from its test split (Vinyals et al. 2016,
    https://arxiv.org/abs/1606.04080). Only classes with enough images take part. The episodes are the
    same for every method and run seed.
    """

    way: int = Field(5, ge=2, description="classes of an episode")
    queries: int = Field(3, ge=1, description="test images of each class")
    count: int = Field(600, ge=1, description="how many; methods that train below the features do a tenth")
    steps: int = Field(20, ge=1, description="optimiser steps on the support, for methods that take them")
    batch_norm: Literal["inductive", "transductive"] = Field(
        "inductive",
        description="transductive: normalise queries by the statistics of the queries beside them",
    )

    @property
    def label(self) -> str:
        """As tables name it."""
        return f"{self.way}-way" + (", transductive" if self.batch_norm == "transductive" else "")


class Scenario(Frozen):
    """Transfer kind, source, target and labelled target images per class."""

    kind: Kind
    dataset: str
    source: str | None = None
    source_classes: tuple[str, ...] = ()
    target: str
    target_classes: tuple[str, ...]
    shots: Shots
    episodes: Episodic | None = None

    @property
    def pair(self) -> str:
        """`source → target`, as tables and figures name it."""
        return f"{self.source or 'pretrained'} → {self.target}"

    @property
    def same_classes(self) -> bool:
        """Whether a source head can score the target's classes."""
        return self.source_classes == self.target_classes


class Cell(Frozen):
    """The scientific question, identified by the hash of its content."""

    scenario: Scenario
    method: str
    overrides: dict[str, Value] = {}
    backbone: str
    image_size: int = Field(ge=8)
    augment: Augment
    budget: Budget
    seed: int = Field(ge=0)
    precision: Precision = "fp32"
    fold: int | None = Field(None, ge=0, description="while tuning: which fold of the shots is held out")
    transductive: bool = Field(False, description="methods adapt to the target's test images, unlabelled")
    headline: str = Field("last", description="the rule that says which look is its result")
    setting: Wanted | None = Field(None, description="how it is to be computed; None: as the machine has it")

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the cell's canonical JSON."""
        # Left out where they say nothing, so that keys are the same as before there were such things.
        silent: dict[str, Any] = {
            "scenario": set() if self.scenario.episodes else {"episodes"},
            "budget": set() if self.budget.trials else {"trials"},
        }
        if self.fold is None:
            silent["fold"] = True
        if not self.transductive:
            silent["transductive"] = True
        if self.headline == "last":
            silent["headline"] = True
        if self.setting is None:
            silent["setting"] = True
        return content_hash(self.model_dump(mode="json", exclude=silent))

    @property
    def title(self) -> str:
        """One line for progress bars and logs."""
        s = self.scenario
        way = f" {s.episodes.label}" if s.episodes else ""
        setting = f" {self.setting.label}, {self.precision}" if self.setting else ""
        return f"{self.method} {s.pair} {s.shots}-shot{way} {self.backbone} seed {self.seed}{setting}"


class ScenarioTable(Frozen):
    """A `[[scenarios]]` table of a suite file: a block of the matrix."""

    kind: Kind
    sources: list[str] | Literal["all"] = "all"
    targets: list[str] | Literal["all"] = "all"
    shots: list[Shots] = Field(min_length=1)
    target_classes: Literal["all", "new"] = Field(
        "all", description="for kind pretrained: `new`, those that are the target's in the task kinds"
    )
    episodes: Episodic | None = Field(None, description="evaluate on episodes instead of on all classes")

    @model_validator(mode="after")
    def _possible(self) -> ScenarioTable:
        if self.kind == "pretrained":
            if self.sources != "all":
                raise ValueError("kind 'pretrained' has no source: remove 'sources'")
            if 0 in self.shots:
                raise ValueError("kind 'pretrained' has no labels at 0 shots: remove 0 from 'shots'")
        elif self.target_classes != "all":
            raise ValueError(f"kind '{self.kind}' says itself which classes are the target's")
        if self.kind in TASK_KINDS and 0 in self.shots:
            raise ValueError(f"kind '{self.kind}' has new classes, which 0 shots say nothing about")
        if self.episodes and not {0, "all"}.isdisjoint(self.shots):
            raise ValueError("episodes have a support of 1, 5, ... shots: remove 0 and 'all' from 'shots'")
        if self.kind == "cross-task" and self.sources != "all":
            raise ValueError("kind 'cross-task' stays in one domain: name 'targets' only")
        return self


class Gate(Frozen):
    """What `bench compare` lets pass; a worsening counts only where it is also separable from noise."""

    max_accuracy_drop: float = Field(1.0, ge=0, description="points of test accuracy")
    max_slowdown: float = Field(0.15, ge=0, description="share by which training may take longer")


class Suite(Frozen):
    """A named matrix: `bench/suites/<name>.toml`, or any file of that form."""

    name: str
    description: str
    dataset: str = Field("", description="default: one's own images, which --data names")
    domains: list[str] | None = Field(None, description="default: the card's default domains")
    classes: int | list[str] | None = Field(
        None, description="names, or the first N of the card (largest first); default: all"
    )
    image_size: int = Field(64, ge=8, le=1024)
    augment: Augment = "crop-flip"
    precision: Precision = "fp32"
    transductive: bool = Field(
        False, description="methods adapt to the target's test images, unlabelled, not to its training images"
    )
    headline: str = Field(
        "last", description="the rule that says which look is a cell's result, as docs/protocol.md names them"
    )
    backbones: list[str] = Field(min_length=1)
    methods: list[str] = Field(min_length=1)
    baseline: str = Field("linear-probe", description="method that gains are measured against")
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0], min_length=1)
    budget: Budget = Budget()
    settings: Settings = Settings()
    scenarios: list[ScenarioTable] = Field(min_length=1)
    set: Overrides = Field({}, description="hyperparameters by method")
    gate: Gate = Gate()
    executor: Resources = Resources()

    @field_validator("headline")
    @classmethod
    def _is_a_rule(cls, name: str) -> str:
        # Rules are functions of records, and records hold suites.
        from bench.records.selection import RULES

        if name not in (names := [rule.name for rule in RULES]):
            raise ValueError(f"there is no rule '{name}': {did_you_mean(name, names)}")
        return name

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if fault := name_fault(name):
            raise ValueError(f"'{printable(name)}' cannot name a results folder: {fault}")
        return name


def content_hash(value: Any) -> str:
    """16 hexadecimal digits that identify a JSON-able value by its content."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
        check_name("suite", name, suite_names())
        path = SUITES / f"{name}.toml"
    return Suite(**{"name": path.stem, **read_toml(path, Suite)})


def read_toml(path: Path, model: type[BaseModel]) -> dict[str, Any]:
    """The tables of a TOML file, checked against `model`; every complaint is one clear line."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    try:
        model.model_validate({"name": path.stem, **data})
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error, model)}") from None
    return data


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """The first complaint of a validation error, in one line, with a suggestion for unknown keys."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        owner = _model_at(model, first["loc"][:-1])
        hint = did_you_mean(str(first["loc"][-1]), owner.model_fields)
        return f"unknown key '{where}': {hint}{more}"
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in ("missing", "value_error") else f", not {_short(repr(first['input']))}"
    return f"'{where}': {message[0].lower()}{_short(message[1:], 200)}{got}{more}"


def _short(text: str, most: int = 80) -> str:
    """The beginning of a text that may be a whole file."""
    return text if len(text) <= most else f"{text[:most]}…"


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The nested model that a validation error's location points into."""
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        for candidate in (field.annotation, *get_args(field.annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
                break
    return model
