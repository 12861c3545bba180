"""Schema of records, the results of cells. No torch here, so reports start at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from bench.spec.cell import Cell, Setting
from bench.spec.toml import Frozen

Status = Literal["done", "skipped", "failed"]
Stage = Literal["source", "target"]
Partition = Literal["target-test", "target-validation", "source-validation", "shots-validation"]

Predictions = dict[str, np.ndarray]
"""Arrays beside a record, by name:

`look<i>/<partition>/logits`  float16 (images, classes), at evaluation i: of test images for each evaluation
                              that some rule selects, of target and shots validation images for that of the
                              headline rule alone
`<partition>/labels`          int16 (images,), index into the classes of that partition
`<partition>/groups`          int32 (images,), images that share a group are related (bootstrap by it)
`<partition>/items`           int32 (images,), row of the image in its domain's decode cache

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

    Accuracies are shares in [0, 1], losses mean negative log-likelihoods in nats. The `target_*` scalars
    use target labels: only the `oracle` rule and learning curves may. Episodes have no validation images.
    `validators` (higher is better), `discrepancy` (lower is closer) and `diversity` (of the predicted
    classes, in [0, 1]) use no labels, see `bench.engine.evaluation.validators`; undefined ones are left out.
    """

    stage: Stage
    step: int
    train_loss: float | None = None
    source_validation_loss: float | None = None
    source_validation_accuracy: float | None = None
    shots_validation_accuracy: float | None = None
    target_validation_accuracy: float | None = None
    target_test_accuracy: float
    validators: dict[str, float] = {}
    discrepancy: dict[str, float] = {}
    diversity: float | None = None


class StepTimes(Frozen):
    """Quantiles of the seconds from the end of one step to the end of the next, over `count` steps."""

    count: int
    p25: float
    p50: float
    p75: float
    p95: float


class Cost(Frozen):
    """Cost of a cell. Seconds are wall time.

    `seconds`: by phase (`data`, `features`, `source-stage`, `target-stage`, `evaluate`), as spent by
    this cell. `shared_seconds`: by phase, as spent by other cells on artifacts that this one took from the
    cache. `items_seen` of training by stage and stream is in `streams`, as in `source/labelled`: `labelled`
    images in batches, `fitted` at once in closed form, `replayed` source images, `unlabelled` target images.
    """

    seconds: dict[str, float] = {}
    shared_seconds: dict[str, float] = {}
    items_seen: int = 0
    streams: dict[str, int] = {}
    items_per_second: float | None = None
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
    energy_joules: float | None = None
    """Energy of processors or accelerator, other processes included; None for several accelerators."""
    calibration_seconds: float | None = None
    """Median seconds of a calibration around this cell: a unit of time for comparing runs."""
    calibration_error: float = 0.0
    """Relative standard error of that median; 0 in records without it."""

    @property
    def own_seconds(self) -> float:
        """Seconds that this cell took."""
        return sum(self.seconds.values())

    @property
    def alone_seconds(self) -> float:
        """Seconds that this cell would have taken with nothing shared."""
        return self.own_seconds + sum(self.shared_seconds.values())


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


class Digests(Frozen):
    """Digests of the code and data that decide the numbers; a record of other digests is stale."""

    method: str
    engine: str
    dataset: str


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
    """True if the method learns from unlabelled target images."""
    hyperparameters: dict[str, Any] = {}
    discrepancy_before: dict[str, float] = {}
    """Discrepancy between source and target features before any training."""
    evaluations: tuple[Evaluation, ...] = ()
    selected: dict[str, int] = {}
    details: dict[str, Any] = {}
    predictions_sha256: str | None = None
