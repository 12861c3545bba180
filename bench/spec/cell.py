"""Cells: one scientific question each, with the hash that identifies it; scenario, budget and setting."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    FiniteFloat,
    model_validator,
)

from bench.core.errors import did_you_mean
from bench.core.modalities import ModalityName
from bench.spec.metrics import Metric
from bench.spec.rules import RULES
from bench.spec.toml import Frozen

Kind = Literal["pretrained", "cross-domain", "cross-task", "cross-domain-task"]


TASK_KINDS = ("cross-task", "cross-domain-task")


Shots = Annotated[int, Field(ge=0, le=1_000_000)] | Literal["all"]


Augment = (
    Literal["none", "crop", "crop-flip", "resized-crop", "rand-augment"]
    | Literal["word-dropout"]
    | Literal["shift", "spec-augment"]
)
"""Augmentation of training items; `crop` for images that must not be mirrored, as digits."""


def _is_a_rule(name: str) -> str:
    if name not in RULES:
        raise ValueError(f"there is no rule '{name}': {did_you_mean(name, RULES)}")
    return name


RuleName = Annotated[str, AfterValidator(_is_a_rule)]
"""Name of one of `bench.spec.rules.RULES`."""


TOGETHER = " + "
"""Between the names of sources that are trained on as one."""


Domains = str | tuple[str, ...]
"""A domain, or several whose items are taken as one, in the order of their names."""


def domain_names(domains: Domains | None) -> tuple[str, ...]:
    """Names of a domain or of several; none of None."""
    return (domains,) if isinstance(domains, str) else domains or ()


Precision = Literal["fp32", "tf32", "bf16", "fp16"]


Compile = bool | Literal["reduce-overhead"]
"""Whether torch.compile is used, and in that mode if one is named, which replays CUDA graphs."""


Value = bool | int | FiniteFloat | str


Overrides = dict[str, dict[str, Value]]


Control = dict[str, Value] | str
"""Hyperparameters that turn a method's idea off, or the name of the method that lacks it."""


class Budget(Frozen):
    """Budget of training, equal for every method."""

    steps: int = Field(300, ge=1, le=10_000_000, description="optimiser steps of the source stage")
    batch_size: int = Field(32, ge=1, le=65_536, description="labelled items a step")
    evaluations: int = Field(
        4,
        ge=1,
        le=1000,
        serialization_alias="looks",
        description="equally spaced evaluations of a stage, the last included",
    )

    trials: int = Field(
        0,
        ge=0,
        le=10_000,
        description="tuning trials of each method before its cells run; 0: hyperparameters as they are",
    )
    longest: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="steps up to which what has not converged is run again with twice as many; 0: once",
    )

    @model_validator(mode="after")
    def _evaluations_fit(self) -> Budget:
        if self.evaluations > self.target_steps:
            raise ValueError(
                f"{self.evaluations} evaluations do not fit into a target stage of {self.target_steps} steps"
                f": use fewer, or {2 * self.evaluations} steps of the source stage or more"
            )
        return self

    @model_validator(mode="after")
    def _convergence_can_be_seen(self) -> Budget:
        if self.longest and self.evaluations < 3:
            raise ValueError(
                f"{self.evaluations} evaluations do not show whether a cell has converged: use 3 or more"
            )
        if self.longest and self.longest < self.steps:
            raise ValueError(f"the longest run, {self.longest} steps, is shorter than {self.steps} steps")
        return self

    @property
    def longer(self) -> Budget | None:
        """Budget of twice the steps, where cells are run until they converge; None beyond the longest."""
        steps = 2 * self.steps
        return self.model_copy(update={"steps": steps}) if steps <= self.longest else None

    @property
    def target_steps(self) -> int:
        """Optimiser steps of the target stage: half as many as the source stage's."""
        return max(1, self.steps // 2)


class Recipe(Frozen):
    """Recipe of training that is no method's own: the same for all, but for those that depart and say why.

    Rates take the place of the usual default alone: a method that declares another keeps it, and
    hyperparameters that are set come first.
    """

    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="`sgd`: Nesterov momentum 0.9")
    schedule: Literal["cosine", "inverse", "constant"] = Field(
        "cosine",
        description="of learning rates over a stage's progress p: `cosine`, after a warm-up; `inverse`: "
        "(1 + 10 p)^-0.75 (Ganin et al. 2016)",
    )
    batch_norm: Literal["joint", "per-domain", "frozen"] = Field(
        "joint",
        description="of source and target items in one step: by the statistics of both, of each domain's "
        "own items, or by running statistics, which stay as they are",
    )
    learning_rate: FiniteFloat | None = Field(None, gt=0, le=10, description="of every method")
    weight_decay: FiniteFloat | None = Field(None, ge=0, le=10, description="of every method")
    backbone_rate: FiniteFloat = Field(
        1.0, gt=0, le=1, description="factor on the learning rate of pretrained layers, beside new ones"
    )

    @property
    def silent(self) -> set[str] | bool:
        """Fields that keys leave out, since they are as usual; True: all of them."""
        usual = {name for name, value in USUAL if value == getattr(self, name)}
        return usual if len(usual) < len(Recipe.model_fields) else True

    @property
    def label(self) -> str:
        """What is not as usual, in words, as `optimizer sgd, schedule inverse`; empty: nothing."""
        said = self.model_dump(exclude_defaults=True)
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items())


USUAL = Recipe()


class Setting(Frozen):
    """Setting in which a cell is computed. Beside the cell's key, so that machines can be compared."""

    device: str = "cpu"
    threads: int = Field(1, ge=1)
    channels_last: bool = True
    compile: Compile = False
    devices: int = Field(1, ge=1)
    """That share each batch."""


def compiled(how: Compile) -> str:
    """Compilation of a network, as tables name it; empty where it was not."""
    return f"compiled ({how})" if isinstance(how, str) else "compiled" if how else ""


class RequestedSetting(Frozen):
    """A setting that a suite asks for; what is None is as the machine has it.

    Cells with one are timed: each runs in a fresh process, and waits for the device after every step.
    """

    device: str | None = None
    threads: int | None = Field(None, ge=1)
    channels_last: bool | None = None
    compile: Compile | None = None

    @property
    def label(self) -> str:
        """Label in tables, as `cpu, 2 threads, channels first`."""
        words = [self.device] if self.device else []
        if self.threads:
            words.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
        if self.channels_last is not None:
            words.append("channels last" if self.channels_last else "channels first")
        if self.compile is not None:
            words.append(compiled(self.compile) or "eager")
        return ", ".join(words) or "as usual"


class Episodic(Frozen):
    """Evaluation on small tasks drawn from the target's classes, instead of on all classes at once.

    An episode is `way` classes with the scenario's shots as support, from the target's training split, and
    `queries` items a class to be judged by, from its test split (Vinyals et al. 2016,
    https://arxiv.org/abs/1606.04080). Only classes with enough items take part. The episodes are the
    same for every method and run seed.
    """

    way: int = Field(5, ge=2, le=10_000, description="classes of an episode")
    queries: int = Field(3, ge=1, le=10_000, description="test items of each class")
    count: int = Field(
        600, ge=1, le=1_000_000, description="how many; methods that train below the features do a tenth"
    )
    steps: int = Field(
        20, ge=1, le=100_000, description="optimiser steps on the support, for methods that take them"
    )
    batch_norm: Literal["inductive", "transductive"] = Field(
        "inductive",
        description="transductive: normalise queries by the statistics of the queries beside them",
    )

    @property
    def label(self) -> str:
        """Label in tables, as `5-way`."""
        return f"{self.way}-way" + (", transductive" if self.batch_norm == "transductive" else "")


class Part(Frozen):
    """Part of a target: a task of a continual scenario, or a client of a federated one."""

    domain: str
    classes: tuple[str, ...]


class Federation(Frozen):
    """Rounds of a federated scenario, in each of which every client takes so many steps of its own."""

    rounds: int = Field(ge=1, le=1_000_000)
    local_steps: int = Field(ge=1, le=1_000_000)

    @property
    def steps(self) -> int:
        """Optimiser steps of a client in all rounds."""
        return self.rounds * self.local_steps


class Stream(Frozen):
    """Stream of test items, each of which comes once: how many at a time, and in what order."""

    batch: int = Field(64, ge=2, le=65_536, description="items at once; a last one alone joins those before")
    order: Literal["shuffled", "by-class"] = Field(
        "shuffled", description="by-class: one class after the other, a shift of labels on the way"
    )


class Scenario(Frozen):
    """Transfer kind, source, target and labelled target images per class."""

    kind: str
    """One of `bench.spec.scenarios.KINDS`."""
    dataset: str
    source: Domains | None = None
    source_classes: tuple[str, ...] = ()
    target: str
    target_classes: tuple[str, ...]
    shots: Shots
    absent: tuple[str, ...] = ()
    """Classes of the source that the target lacks (partial)."""
    unknown: tuple[str, ...] = ()
    """Classes of the target that the source lacks (open); all of them are one class, the last."""
    episodes: Episodic | None = None
    parts: tuple[Part, ...] = ()
    """Tasks in order, or clients, of a target that has several; `target` then names them together."""
    federation: Federation | None = None
    stream: Stream | None = None
    """How test items come; None: in the usual way, and to methods that adapt to a stream alone."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Source domains; none where there is no source."""
        return domain_names(self.source)

    @property
    def source_name(self) -> str | None:
        """Source as tables name it, as `apple + google`; None where there is none."""
        return TOGETHER.join(self.sources) or None

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains that take part, the target's last, each once."""
        target = [part.domain for part in self.parts] or [self.target]
        return tuple(dict.fromkeys((*self.sources, *target)))

    @property
    def pair(self) -> str:
        """`source → target`, as tables and figures name it; of a target in parts its name alone."""
        return self.target if self.parts else f"{self.source_name or 'pretrained'} → {self.target}"

    @property
    def layout(self) -> str:
        """Target in words, as `3 domains in a row` or `20 unknown classes`; empty where it is a plain one."""
        count, words = len(self.parts), list[str]()
        if self.absent:
            words.append(
                f"{len(self.target_classes) - len(self.absent)} of {len(self.target_classes)} classes"
            )
        if self.unknown:
            words.append(f"{len(self.unknown)} unknown class{'es' * (len(self.unknown) > 1)}")
        if self.stream:
            words.append(f"stream {self.stream.order}, {self.stream.batch} at once")
        if self.federation:
            steps = self.federation.local_steps
            words.append(
                f"{count} clients, {self.federation.rounds} rounds of {steps} step{'s' * (steps > 1)}"
            )
        elif count:
            domains = len({part.domain for part in self.parts})
            words.append(f"{count} {'domains' if domains == count else 'groups of classes'} in a row")
        return ", ".join(words)

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of what test items may be of, by label: the target's classes, and what is unknown, if any."""
        return (*self.target_classes, "unknown") if self.unknown else self.target_classes

    @property
    def silent(self) -> set[str]:
        """Fields that keys leave out, since they say nothing."""
        optional = ("absent", "unknown", "episodes", "parts", "federation", "stream")
        return {name for name in optional if not getattr(self, name)}

    @property
    def same_classes(self) -> bool:
        """True if a source head can score the target's classes."""
        return self.source_classes == self.target_classes


class Cell(Frozen):
    """The scientific question, identified by the hash of its content; `control_of` says why it is asked."""

    scenario: Scenario
    method: str
    overrides: dict[str, Value] = {}
    backbone: str
    modality: ModalityName = "image"
    metric: Metric = "accuracy"
    image_size: int = Field(ge=1, description="side of an image in pixels; of other items, their length")
    augment: Augment
    budget: Budget
    seed: int = Field(ge=0)
    precision: Precision = "fp32"
    recipe: Recipe = USUAL
    fold: int | None = Field(None, ge=0, description="while tuning: which fold of the shots is held out")
    transductive: bool = Field(False, description="methods adapt to the target's test items, unlabelled")
    unsplit: bool = Field(False, description="no image is held out, and tested are all of the target")
    headline: str = Field("last", description="the rule that says which evaluation is its result")
    setting: RequestedSetting | None = Field(
        None, description="how it is to be computed; None: as the machine has it"
    )
    control_of: tuple[str, ...] = Field(
        (), description="methods that it was run for as their control alone; no part of the question"
    )

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the cell's canonical JSON."""
        # Left out where they say nothing, so that keys are the same as before there were such things.
        silent: dict[str, Any] = {
            "scenario": self.scenario.silent,
            "budget": {name for name in ("trials", "longest") if not getattr(self.budget, name)},
            # Why it is asked does not change what is asked.
            "control_of": True,
            "recipe": self.recipe.silent,
        }
        if self.fold is None:
            silent["fold"] = True
        if not self.transductive:
            silent["transductive"] = True
        if not self.unsplit:
            silent["unsplit"] = True
        for name in ("headline", "modality", "metric"):
            if getattr(self, name) == type(self).model_fields[name].default:
                silent[name] = True
        if self.setting is None:
            silent["setting"] = True
        return content_hash(self.model_dump(mode="json", by_alias=True, exclude=silent))

    @property
    def title(self) -> str:
        """One line for progress bars and logs."""
        s = self.scenario
        way = f" {s.episodes.label}" if s.episodes else ""
        # Several kinds may be asked of one pair; a pair without a source says itself what it is.
        kind = "" if s.kind == "cross-domain" or s.kind in s.pair else f" {s.kind}"
        layout = f" ({s.layout})" if s.layout else ""
        setting = f" {self.setting.label}, {self.precision}" if self.setting else ""
        method = f"{self.method} (control)" if self.control_of else self.method
        question = f"{s.pair} {s.shots}-shot{way}{kind}{layout}"
        return f"{method} {question} {self.backbone} seed {self.seed}{setting}"


def content_hash(value: Any) -> str:
    """16 hexadecimal digits that identify a JSON-able value by its content."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
