"""Cost model of a matrix, fitted to records: seconds of cells alone and with shared artifacts.

Before anything is recorded, what methods' steps were measured to take decides which cells run first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from bench.commands.experiments.simulation import Schedule, ScheduledCell, simulate
from bench.method.registry import MethodCost, method_costs, method_start
from bench.records.record import KEPT_PHASES, Record
from bench.spec.cell import Cell, content_hash
from bench.spec.matrix.plan import family
from bench.spec.scenarios import stages
from bench.spec.stages import SharedStage, StageSpec, shared_stages

PHASES = (*KEPT_PHASES, "stages")
"""Phases that make artifacts."""


@dataclass(frozen=True)
class MethodTraits:
    """Traits of a method that decide which artifacts its cells share."""

    sees_target: bool = False
    """Whether its source stage depends on the target."""
    starts_from: str = ""
    """Method whose source stage is its own."""
    has_source_stage: bool = True
    split_point: str | None = None
    """Below which the network is frozen and its activations kept; None: it sees images."""
    views: int = 0
    """Augmented views of each image that are kept."""
    trains: Callable[[StageSpec], bool] = lambda stage: True
    """Whether a stage runs a loop, whose batches are of views where there are any."""
    pretrained: bool = True
    """Whether it begins with pretrained weights."""


TraitsOf = Callable[[str], MethodTraits]
"""Traits by the name of a method."""


def _shared(cell: Cell, traits: MethodTraits) -> list[SharedStage]:
    """Stages of a cell that other cells may share."""
    seen = [stage.restricted(unlabelled=traits.sees_target, replay=True) for stage in stages(cell)]
    return shared_stages(cell, seen, traits.starts_from) if traits.has_source_stage else []


def artifact_keys(cell: Cell, traits: MethodTraits) -> dict[str, list[str]]:
    """Keys of the artifacts that a cell uses, by phase."""
    s = cell.scenario
    features, views = list[str](), list[str]()
    if traits.split_point is not None:
        # Weights that are not pretrained are drawn from the run seed, and so are views.
        same = [s.dataset, cell.backbone, cell.image_size, cell.precision, traits.pretrained]
        same += [traits.split_point, None if traits.pretrained else cell.seed]
        features = [content_hash([domain, *same]) for domain in s.domains]
        drawn = [cell.augment, cell.transductive, cell.unsplit, traits.views, cell.seed]
        views = [content_hash([domain, *same, *drawn]) for domain in _augmented(cell, traits)]
    return {"features": features, "views": views, "stages": [stage.key for stage in _shared(cell, traits)]}


def _augmented(cell: Cell, traits: MethodTraits) -> list[str]:
    """Domains whose views a cell's loops train on."""
    if not traits.views or cell.augment == "none":
        return []
    looped = [
        stage.restricted(unlabelled=traits.sees_target, replay=traits.has_source_stage)
        for stage in stages(cell)
        if traits.trains(stage) and (traits.has_source_stage or not stage.shared)
    ]
    streams = [stream for stage in looped for stream in (stage.labelled, stage.unlabelled, stage.replay)]
    return list(dict.fromkeys(domain for stream in streams if stream for domain in stream.domains))


def count_artifacts(cells: Iterable[Cell], traits_of: TraitsOf) -> dict[str, tuple[int, int]]:
    """(uses, distinct artifacts) of the cells, by phase."""
    uses: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        for phase, keys in artifact_keys(cell, traits_of(cell.method)).items():
            uses[phase] += keys
    return {phase: (len(keys), len(set(keys))) for phase, keys in uses.items()}


@dataclass(frozen=True)
class CostEstimate:
    """Seconds of a matrix with and without sharing; `unknown` are methods without a recorded cost."""

    alone: float
    shared: float
    from_cells: int
    unknown: tuple[str, ...]

    @property
    def saving(self) -> float:
        """Share of the time that sharing saves, in [0, 1]."""
        return 1 - self.shared / self.alone if self.alone else 0.0


@dataclass(frozen=True)
class CostModel:
    """Seconds of a method's cells and artifacts, each the median over its recorded cells."""

    seconds: dict[tuple[str, str], float]
    from_cells: int
    traits_of: TraitsOf

    @classmethod
    def fit(cls, records: Iterable[Record], traits_of: TraitsOf) -> CostModel:
        """Fit a cost model to the costs in records."""
        spent: dict[tuple[str, str], list[float]] = defaultdict(list)
        from_cells = 0
        for record in records:
            if record.outcome.status != "done":
                continue
            from_cells += 1
            cell, cost = record.request.cell, record.cost
            traits = traits_of(cell.method)
            shared = {identity.stage.name for identity in _shared(cell, traits)}
            own = sum(seconds for phase, seconds in cost.seconds.items() if phase not in KEPT_PHASES)
            own += sum(stage.seconds for name, stage in cost.stages.items() if name not in shared)
            # Few shots and all of them, with a source stage before or not, are different work.
            spent[cell.method, _work(cell)].append(own)
            made = {
                phase: cost.seconds.get(phase, 0.0) + cost.shared_seconds.get(phase, 0.0)
                for phase in KEPT_PHASES
            }
            made["stages"] = sum(s.total_seconds for name, s in cost.stages.items() if name in shared)
            for phase, keys in artifact_keys(cell, traits).items():
                if keys:
                    spent[cell.method, f"{phase} {_network(cell)}"].append(made[phase] / len(keys))
        return cls({key: median(values) for key, values in spent.items() if values}, from_cells, traits_of)

    def cell_seconds(self, cell: Cell) -> float | None:
        """Seconds of a cell without its artifacts; None where no record has such a cost."""
        return self.seconds.get((cell.method, _work(cell)))

    def predict(self, cell: Cell) -> float | None:
        """Seconds of a cell, or of its method's cells where none was as much work; None if there are none."""
        own = self.cell_seconds(cell)
        of_method = [
            seconds
            for (method, work), seconds in self.seconds.items()
            if method == cell.method and work.split()[0] not in PHASES
        ]
        return own if own is not None or not of_method else median(of_method)

    def artifact_seconds(self, cell: Cell, phase: str) -> float:
        """Seconds of making one artifact of that phase."""
        return self.seconds.get((cell.method, f"{phase} {_network(cell)}"), 0.0)

    def estimate(self, cells: Iterable[Cell]) -> CostEstimate | None:
        """Estimate the seconds of cells, alone and sharing; None where no cost of their methods is known."""
        alone = shared = 0.0
        made: set[str] = set()
        unknown: dict[str, None] = {}
        for cell in cells:
            own = self.cell_seconds(cell)
            if own is None:
                unknown[cell.method] = None
                continue
            alone, shared = alone + own, shared + own
            for phase, keys in artifact_keys(cell, self.traits_of(cell.method)).items():
                seconds = self.artifact_seconds(cell, phase)
                for key in keys:
                    alone += seconds
                    shared += 0.0 if key in made else seconds
                    made.add(key)
        return CostEstimate(alone, shared, self.from_cells, tuple(unknown)) if alone else None

    def schedule(self, cells: Sequence[Cell], workers: int) -> Schedule:
        """Simulate the cells of known cost on a number of workers, each with one cell at once."""
        scheduled: list[ScheduledCell] = []
        costs: dict[str, float] = {}
        for cell in cells:
            own = self.cell_seconds(cell)
            if own is None:
                continue
            by_phase = artifact_keys(cell, self.traits_of(cell.method))
            for phase, keys in by_phase.items():
                for key in keys:
                    costs.setdefault(key, self.artifact_seconds(cell, phase))
            artifacts = tuple(key for keys in by_phase.values() for key in keys)
            scheduled.append(ScheduledCell(own, artifacts, family(cell)))
        return simulate(scheduled, costs, workers)


def cheapest_first(cells: Sequence[Cell]) -> list[Cell]:
    """Order cells for execution, so that comparisons of some methods are there soon.

    Networks and seeds keep their order; in each, source stages whose cells are cheap in the mean come first,
    with all the cells that begin with them.
    """
    starts = {method: method_start(method) or method for method in {cell.method for cell in cells}}
    efforts: dict[tuple[str, str], float] = {}
    rounds: dict[tuple[str, int], dict[tuple[str, str], list[tuple[float, Cell]]]] = {}
    for cell in cells:
        alike = cell.method, _work(cell)
        if alike not in efforts:
            efforts[alike] = effort(cell, starts[cell.method])
        groups = rounds.setdefault((cell.backbone, cell.seed), {})
        group = groups.setdefault((starts[cell.method], str(cell.scenario.source)), [])
        group.append((efforts[alike], cell))

    def work(group: Sequence[tuple[float, Cell]]) -> float:
        return fmean(steps for steps, _ in group)

    ordered = [group for groups in rounds.values() for group in sorted(groups.values(), key=work)]
    return [cell for group in ordered for _, cell in group]


def effort(cell: Cell, start: str) -> float:
    """Steps of full fine-tuning that all stages of a cell's scenario are as much work as.

    Shared stages cost what those of `start` do, the others what those of the cell's method do. A method that
    was not measured is taken to cost as much as full fine-tuning.
    """
    total = 0.0
    for stage in stages(cell):
        cost = method_costs().get(start if stage.shared else cell.method, MethodCost(1.0))
        total += cost.time * (1 if cost.per_fit else stage.steps)
    return total


def _work(cell: Cell) -> str:
    """Key of cells of a method that are about as much work, artifacts aside."""
    s = cell.scenario
    return f"{s.kind} {s.shots} {s.episodes is not None} {_network(cell)} {cell.budget.model_dump_json()}"


def _network(cell: Cell) -> str:
    """Network, its arithmetic and the size of what it sees: another one is other work."""
    return f"{cell.backbone} {cell.image_size} {cell.precision}"
