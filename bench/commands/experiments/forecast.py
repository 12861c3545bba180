"""What a matrix costs, each cell alone and with what cells share, going by costs in records. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.commands.experiments.simulation import Schedule, Task, simulate
from bench.records.record import Record
from bench.spec.cell import Cell, content_hash
from bench.spec.matrix.plan import family
from bench.spec.scenarios import stages
from bench.spec.stages import SharedStage, shared_stages


@dataclass(frozen=True)
class Needs:
    """What of a method decides which artifacts its cells share."""

    sees_target: bool = False
    """Whether its source stage depends on the target."""
    has_source_stage: bool = True
    split_point: str | None = None
    """Below which the network is frozen and its activations kept; None: it sees images."""
    views: int = 0
    """Augmented views of each image that are kept."""
    pretrained: bool = True
    """Whether it begins with pretrained weights."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of a matrix with and without sharing; `unknown` are methods that no record tells about."""

    alone: float
    shared: float
    from_cells: int
    unknown: tuple[str, ...]

    @property
    def saving(self) -> float:
        """Share of the time that sharing saves, in [0, 1]."""
        return 1 - self.shared / self.alone if self.alone else 0.0


def shared(cell: Cell, needs: Needs) -> list[SharedStage]:
    """Stages of a cell that other cells may share."""
    seen = [stage.restricted(unlabelled=needs.sees_target, replay=True) for stage in stages(cell)]
    return shared_stages(cell, seen) if needs.has_source_stage else []


def artifacts(cell: Cell, needs: Needs) -> dict[str, list[str]]:
    """Keys of the artifacts that a cell uses, by phase."""
    s = cell.scenario
    features = []
    if needs.split_point is not None:
        # A view is drawn from the run seed, and so are weights that are not pretrained.
        drawn = (needs.views and cell.augment != "none") or not needs.pretrained
        same = [s.dataset, cell.backbone, cell.image_size, cell.precision, cell.augment, cell.transductive]
        same += [needs.pretrained, needs.split_point, needs.views, cell.seed if drawn else None]
        domains = dict.fromkeys(domain for domain in (s.source, s.target) if domain)
        features = [content_hash([domain, *same]) for domain in domains]
    return {"features": features, "stages": [stage.key for stage in shared(cell, needs)]}


def distinct(cells: Iterable[Cell], needs: Callable[[str], Needs]) -> dict[str, tuple[int, int]]:
    """Per phase: how often the cells ask for an artifact, and how many distinct ones there are."""
    asked: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        for phase, keys in artifacts(cell, needs(cell.method)).items():
            asked[phase] += keys
    return {phase: (len(keys), len(set(keys))) for phase, keys in asked.items()}


@dataclass(frozen=True)
class Prices:
    """Seconds of a method's cells and of what they share, each the median over its recorded cells."""

    seconds: dict[tuple[str, str], float]
    from_cells: int

    def own(self, cell: Cell) -> float | None:
        """Of a cell, what it shares aside; None where no record tells."""
        return self.seconds.get((cell.method, _work(cell)))

    def of(self, cell: Cell, phase: str) -> float:
        """Of making an artifact of that phase, whoever makes it."""
        return self.seconds.get((cell.method, phase), 0.0)


def prices(needs: Callable[[str], Needs], records: Iterable[Record]) -> Prices:
    """What records tell of costs."""
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    known = 0
    for record in records:
        if record.outcome.status != "done":
            continue
        known += 1
        cell, measured = record.request.cell, record.cost
        needed = needs(cell.method)
        names = {identity.stage.name for identity in shared(cell, needed)}
        own = sum(seconds for phase, seconds in measured.seconds.items() if phase != "features")
        own += sum(stage.seconds for name, stage in measured.stages.items() if name not in names)
        spent_shared = {
            "features": measured.seconds.get("features", 0.0) + measured.shared_seconds.get("features", 0.0),
            "stages": sum(measured.stages[name].total_seconds for name in names & measured.stages.keys()),
        }
        # Few shots and all of them, with a source stage before or not, are different work.
        spent[cell.method, _work(cell)].append(own)
        for phase, keys in artifacts(cell, needed).items():
            if keys:
                spent[cell.method, phase].append(spent_shared[phase] / len(keys))
    return Prices({key: median(values) for key, values in spent.items() if values}, known)


def estimate(cells: Sequence[Cell], needs: Callable[[str], Needs], known: Prices) -> Estimate | None:
    """Seconds of the cells, alone and sharing; None where no record tells about any of their methods."""
    alone = shared = 0.0
    made: set[str] = set()
    unknown: dict[str, None] = {}
    for cell in cells:
        own = known.own(cell)
        if own is None:
            unknown[cell.method] = None
            continue
        alone, shared = alone + own, shared + own
        for phase, keys in artifacts(cell, needs(cell.method)).items():
            for key in keys:
                alone += known.of(cell, phase)
                shared += 0.0 if key in made else known.of(cell, phase)
                made.add(key)
    return Estimate(alone, shared, known.from_cells, tuple(unknown)) if alone else None


def foresee(cells: Sequence[Cell], needs: Callable[[str], Needs], known: Prices, workers: int) -> Schedule:
    """The cells of known cost on a number of workers, each with one cell at once."""
    tasks: list[Task] = []
    costs: dict[str, float] = {}
    for cell in cells:
        own = known.own(cell)
        if own is None:
            continue
        keys: list[str] = []
        for phase, some in artifacts(cell, needs(cell.method)).items():
            keys += some
            for key in some:
                costs.setdefault(key, known.of(cell, phase))
        tasks.append(Task(own, tuple(keys), family(cell)))
    return simulate(tasks, costs, workers)


def _work(cell: Cell) -> str:
    """Cells of a method that are about as much work, artifacts aside."""
    s = cell.scenario
    return f"{s.kind} {s.shots} {s.episodes is not None} {cell.budget.model_dump_json()}"
