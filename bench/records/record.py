"""Schema of records, the results of cells. No torch here, so reports start at once."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, ValidationInfo, field_validator, model_validator

from bench.spec.cell import Cell, Control, Setting
from bench.spec.stages import Partition
from bench.spec.toml import Frozen

Status = Literal["done", "skipped", "failed"]

Predictions = dict[str, np.ndarray]
"""Arrays beside a record, by name:

`look<i>/<partition>/logits`  float16 (images, classes), at evaluation i: of test images for each evaluation
                              that some rule selects and the last one of each stage, of target and shots
                              validation images for that of the headline rule alone; less each image's
                              highest, but in records of before that
`<partition>/labels`          int16 (images,), index into the classes of that partition
`<partition>/groups`          int32 (images,), images that share a group are related (bootstrap by it)
`<partition>/items`           int32 (images,), row of the image in its domain's decode cache, or in those of
                              several domains one after the other
`<partition>/parts`           int16 (images,), index into the scenario's parts, where its target has parts
`target-test/stream`          int32 (images,), places of the images in the order of a scenario's stream
`before/target-test/logits`   float16 (images, classes), before any training, likewise

`look` is the older word for an evaluation: the names stay, since files of predictions are named by content.

Where a run keeps features, of at most 128 test images of source and target:

`features/<before|after>/<source|target>`  float16 (images, D), before any training and after all of it
`features/<source|target>/labels`          int16 (images,), index into that domain's classes
`features/<source|target>/groups`          int32 (images,)
`features/<source|target>/items`           int32 (images,)

With episodes, `target-test` holds the queries of one after the other, with logits and labels over the
episode's own classes; an image that is a query of several is there as often.
"""


def _encodable(text: Any) -> Any:
    """Replace characters that UTF-8 cannot encode, as names of files may hold, by question marks."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


Text = Annotated[str, BeforeValidator(_encodable)]


class Request(Frozen):
    """Request of a run: the cell, the setting (device, threads, ...) it was computed in, and its suite."""

    cell: Cell
    setting: Setting
    suite: str


class Outcome(Frozen):
    """Outcome of a cell: its status, and the reason and the log of one that is not `done`."""

    status: Status
    reason: Text = ""
    log: Text = ""


class Evaluation(Frozen):
    """Evaluation of the model by the engine, outside the method, after `step` steps of a stage.

    train_loss: mean loss since the evaluation before, in nats for most methods.
    accuracy: share in [0, 1], by partition. Those of target partitions use target labels: only the `oracle`
        rule and learning curves may use them. Episodes have `target-test` alone.
    metric: the cell's metric by partition, in [0, 1], None where it is undefined, as AUC of items of one
        class; empty where it is accuracy.
    loss: mean negative log-likelihood in nats, by partition.
    validators: label-free scores by name, higher is better (`bench.engine.evaluation.validators`).
    discrepancy: distances of source and target features by name, lower is closer.
    diversity: of the predicted classes, in [0, 1].
    """

    stage: str
    step: int
    train_loss: float | None = None
    accuracy: dict[Partition, float]
    metric: dict[Partition, float | None] = {}
    loss: dict[Partition, float] = {}
    validators: dict[str, float] = {}
    discrepancy: dict[str, float] = {}
    diversity: float | None = None

    def score(self, partition: Partition) -> float | None:
        """Value of the cell's metric on a partition; None where it is not there, or undefined."""
        return (self.metric or self.accuracy).get(partition)

    @property
    def tested(self) -> float:
        """Value of the cell's metric on the target's test items; NaN where it is not there, or undefined."""
        score = self.score("target-test")
        return math.nan if score is None else score


class StepTimes(Frozen):
    """Quantiles of the seconds from the end of one step to the end of the next, over `count` steps."""

    count: int
    p25: float
    p50: float
    p75: float
    p95: float


class StageCost(Frozen):
    """Cost of training one stage.

    seconds: wall time that this cell spent. shared_seconds: that another cell had spent on what it took over.
    items: items trained on, by stream: `labelled` in batches, `fitted` in one go, `replayed`, `unlabelled`.
    """

    seconds: float = 0.0
    shared_seconds: float = 0.0
    items: dict[str, int] = {}

    @property
    def total_seconds(self) -> float:
        """Seconds of training the stage, whoever trained it."""
        return self.seconds + self.shared_seconds


BUSY = 0.1
"""Share of a cell's time in which it waited for a processor that makes its seconds doubtful."""


KEPT_PHASES = ("features", "views")
"""Phases in which a frozen part of the network makes what is kept: of items as they are, and augmented."""


class Cost(Frozen):
    """Cost of a cell, in seconds without those in which it waited for a processor that others held.

    seconds: by phase (`data`, `features`, `build`, `evaluate`), as spent by this cell, training aside.
    shared_seconds: by phase, what the artifacts it took from the cache had taken.
    stages: training, by stage.
    """

    seconds: dict[str, float] = {}
    shared_seconds: dict[str, float] = {}
    stages: dict[str, StageCost] = {}
    parameters: int = 0
    parameters_trained: int = 0
    devices: int = 1
    """Number of devices that shared the batches of some stage; 1 where no training loop ran."""
    peak_memory_bytes: int | None = None
    """Peak memory of the first device in bytes."""
    steps: StepTimes | None = None
    predictions_per_second: float | None = None
    """Items per second at evaluations."""
    flops_per_step: int | None = None
    """Floating point operations per step of the last stage, in suites with settings."""
    waited_seconds: float | None = None
    """Seconds that the cell waited for a processor since it began or went on; None in older records, whose
    seconds are of wall time."""
    energy_joules: float | None = None
    """Energy of processors or accelerator, other processes included; None for several accelerators."""
    calibration_seconds: float | None = None
    """Median seconds of a calibration around this cell: a unit of time for comparing runs."""
    calibration_error: float = 0.0
    """Relative standard error of that median; 0 in records without it."""

    @property
    def own_seconds(self) -> float:
        """Seconds that this cell took."""
        return sum(self.seconds.values()) + sum(stage.seconds for stage in self.stages.values())

    @property
    def kept_seconds(self) -> float:
        """Seconds in which this cell made what other cells find kept."""
        return sum(self.seconds.get(phase, 0.0) for phase in KEPT_PHASES)

    @property
    def alone_seconds(self) -> float:
        """Seconds that this cell would have taken with nothing shared."""
        shared = sum(stage.shared_seconds for stage in self.stages.values())
        return self.own_seconds + sum(self.shared_seconds.values()) + shared

    @property
    def waited_share(self) -> float:
        """Share of the cell's wall time in which it waited for a processor; 0 where nobody knows."""
        waited = self.waited_seconds or 0.0
        return waited / (self.own_seconds + waited) if waited else 0.0

    @property
    def streams(self) -> dict[str, int]:
        """Items trained on by `<stage>/<stream>`."""
        return {f"{name}/{item}": n for name, stage in self.stages.items() for item, n in stage.items.items()}

    @property
    def items_seen(self) -> int:
        """Items trained on over all stages and streams."""
        return sum(self.streams.values())

    @property
    def items_per_second(self) -> float | None:
        """Items trained on a second of training, whoever trained; None where nothing was trained."""
        seconds = sum(stage.total_seconds for stage in self.stages.values())
        return self.items_seen / seconds if seconds else None


class Environment(Frozen):
    """Environment of a run: the machine and the versions of packages."""

    python: str
    packages: dict[str, str]
    platform: str
    cpu: str
    accelerator: str | None = None
    git_revision: str | None = None
    machine: str | None = None
    """Digest of the hardware; seconds are compared only between equal ones."""
    left_out: tuple[str, ...] = ()
    """Workarounds of `bench.core.workarounds` that were left out."""


class Digests(Frozen):
    """Digests of what decides the numbers beside the cell; a record of other digests is stale.

    card, libraries: None in records of before there were such.
    """

    method: str
    engine: str
    dataset: str
    card: str | None = None
    """Digest of the fields of the dataset's card that decide numbers."""
    weights: tuple[tuple[str, str], ...] = ()
    """Digests of pretrained weights by backbone: in a record, of its cell's own."""
    libraries: str | None = None
    """Versions of the libraries that decide numbers."""

    def outdated(self, now: Digests) -> bool:
        """True if the present digests are others."""
        return bool(self.differences(now))

    def differences(self, now: Digests, items: str = "images") -> list[str]:
        """Name what has another digest now; of weights that are not here now, nothing can be said.

        Args:
            items: what the dataset's items are called.
        """
        present = dict(now.weights)
        changed = {
            "method": self.method != now.method,
            "engine": self.engine != now.engine,
            items: self.dataset != now.dataset,
            "card": self.card != now.card,
            "weights": any(present.get(name, digest) != digest for name, digest in self.weights),
            "libraries": self.libraries != now.libraries,
        }
        return [name for name, is_other in changed.items() if is_other]

    @property
    def without_method(self) -> Digests:
        """Digests of what does not depend on the method's code, such as features of a frozen network."""
        return self.model_copy(update={"method": ""})


class Record(Frozen):
    """Immutable result of a cell, stored as JSON; `Predictions` lie beside it."""

    schema_version: Literal[3] = 3
    """Version of the schema; `bench.records.migrations` reads older ones."""
    key: str
    created: str
    request: Request
    outcome: Outcome
    digests: Digests
    environment: Environment
    cost: Cost = Cost()
    data_origin: str = ""
    """Copy of the dataset that was used: its kind of source and its name."""
    warnings: tuple[str, ...] = ()
    """Deviations of the images from the dataset's card, and of the training from the cell."""
    adapts: bool = False
    """True if the method learns from unlabelled target images, be it those that it is tested on."""
    hyperparameters: dict[str, Any] = {}
    control: Control | None = None
    """Same recipe without the method's idea, as its class declares; None also in records of before."""
    discrepancy_before: dict[str, float] = {}
    """Discrepancy between source and target features before any training."""
    evaluations: tuple[Evaluation, ...] = ()
    selected: dict[str, int] = {}
    details: dict[str, dict[str, Any]] = {}
    """Findings of the method, by stage."""
    episodes: int | None = None
    """Episodes that were drawn, each with a target stage of its own; None where there are none."""
    predictions_sha256: str | None = None

    @field_validator("evaluations")
    @classmethod
    def _undefined(cls, evaluations: tuple[Evaluation, ...], info: ValidationInfo) -> tuple[Evaluation, ...]:
        """Say of each partition where the metric is undefined; older records leave it out there."""
        request = info.data.get("request")
        if request is None or request.cell.metric == "accuracy":
            return evaluations
        return tuple(
            each
            if each.metric.keys() >= each.accuracy.keys()
            else each.model_copy(update={"metric": dict.fromkeys(each.accuracy) | each.metric})
            for each in evaluations
        )

    @model_validator(mode="after")
    def _selected_exist(self) -> Record:
        for rule, place in self.selected.items():
            if not 0 <= place < len(self.evaluations):
                raise ValueError(f"rule '{rule}' selects evaluation {place} of {len(self.evaluations)}")
        return self

    @model_validator(mode="after")
    def _tested(self) -> Record:
        if any("target-test" not in evaluation.accuracy for evaluation in self.evaluations):
            raise ValueError("an evaluation has no accuracy on test images")
        return self

    @property
    def done(self) -> bool:
        """True if the cell was done, and neither skipped nor failed."""
        return self.outcome.status == "done"
