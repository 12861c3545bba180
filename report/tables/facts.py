"""Facts of what was run, a name and a value each, and the speed that it ran at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from bench.core.modalities import MODALITIES
from bench.core.text import counted
from bench.report.scores.frame import accuracy_column
from bench.report.scores.words import Words, metric_name
from bench.report.statistics.summary import scored
from bench.report.tables import formats
from bench.report.tables.leaderboard import Block, blocks, median
from bench.spec.cell import TOGETHER
from bench.spec.metrics import METRICS
from bench.spec.scenarios import KINDS


def facts(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Name and value of each thing that a reader needs to place the numbers."""
    known = frame[frame["kind"].notna()]
    words = Words.of_frame(known)

    def values(column: str, unit: str = "") -> str:
        return _values(known[column], unit)

    sources = {name for names in known["source"].dropna().unique() for name in names.split(TOGETHER)}
    domains = sorted({*sources, *known["target"].dropna()})
    found = [
        ("Dataset", values("dataset")),
        ("Domains", formats.listed(domains)),
        ("Classes", values("classes")),
        ("Transfer", "; ".join(block.title for block in blocks(frame))),
        ("Methods", values("method")),
        ("Backbones", values("backbone")),
        ("Seeds", values("seed")),
        *_items(known, values),
        (
            "Budget",
            f"{_length(known)}, "
            f"batches of {values('batch_size')}, {values('evaluations_per_stage')} evaluations a stage",
        ),
        ("Precision", values("precision")),
        *_recipe(known),
        *_warning(known, "transductive", f"methods adapt to the target's test {words.items}, unlabelled"),
        *_warning(known, "unsplit", f"no {words.item} is held out, and all of the target's are tested"),
        *_metric(known),
        ("Evaluations chosen by", values("headline")),
        ("Run on", f"{values('device') or formats.DASH}; threads: {values('threads') or formats.DASH}"),
    ]
    if "warnings" in known:
        # Stays with the numbers for as long as they are shown.
        texts = {line for text in known["warnings"].dropna().unique() for line in text.splitlines()}
        found += [("Warning", text) for text in sorted(texts)]
    return found if len(known) else []


def _values(column: pd.Series, unit: str = "") -> str:
    """Different values of a column in words."""
    found = sorted(column.dropna().unique())
    # A column with gaps holds its whole numbers as floats; `:g` writes them as whole again.
    texts = [value if isinstance(value, str) else f"{value:g}" for value in found]
    return formats.listed([text + unit for text in texts])


def _length(known: pd.DataFrame) -> str:
    """Length of the stages of each kind in words."""
    said = known.groupby(known["kind"].map(lambda kind: KINDS[kind].budget), sort=False)
    return "; ".join(
        words.format(steps=_values(rows["steps"]), target=_values(rows["target_steps"]))
        for words, rows in said
    )


def _items(known: pd.DataFrame, values: Callable[[str, str], str]) -> list[tuple[str, str]]:
    """Name the sizes and augmentations of the items, by modality."""
    kinds = [kind for name, kind in MODALITIES.items() if name in set(known["modality"])]
    augmented = f"augmentation {values('augment', '')}"
    return [
        (kind.items.capitalize(), f"{values('image_size', f' {kind.unit}')}; {augmented}") for kind in kinds
    ]


def _metric(known: pd.DataFrame) -> list[tuple[str, str]]:
    """Say what results are judged by, where that is not accuracy."""
    found = sorted({*known["metric"]})
    texts = [f"{metric_name(name)} ({METRICS[name]})" for name in found if found != ["accuracy"]]
    return [("Judged by", "; ".join(texts))] if texts else []


def _recipe(known: pd.DataFrame) -> list[tuple[str, str]]:
    """Name recipes of training that are not the usual one."""
    found = sorted(known["recipe"].unique())
    return [("Recipe", "; ".join(label or "as usual" for label in found))] if any(found) else []


def _warning(known: pd.DataFrame, column: str, text: str) -> list[tuple[str, str]]:
    """Warn where cells have a question of which the reader has to know."""
    cells = int(known[column].eq(True).sum())
    if not cells:
        return []
    which = "all cells" if cells == len(known) else f"{cells} of {counted(len(known), 'cell')}"
    return [(column.replace("_", " ").capitalize(), f"{which}: {text}")]


@dataclass(frozen=True)
class Speed:
    """Medians over a method's done cells of one kind and backbone; None: not recorded."""

    kind: str
    blocks: tuple[Block, ...]
    """Those that its cells are in."""
    method: str
    backbone: str
    parameters: float | None
    trained: float | None
    items_per_second: float | None
    memory: float | None
    own: float | None
    alone: float | None
    step: float | None
    slow_step: float | None
    predicted: float | None
    flops: float | None
    energy: float | None
    setting: str
    accuracy: float | None
    cells: int


def speeds(frame: pd.DataFrame) -> list[Speed]:
    """Speeds of methods by kind, method, backbone and setting."""
    found = []
    by = ["kind", "method", "backbone", "setting"]
    for (kind, method, backbone, setting), rows in scored(frame).groupby(by):
        found.append(
            Speed(
                kind=str(kind),
                blocks=tuple(blocks(rows)),
                method=str(method),
                backbone=str(backbone),
                parameters=median(rows["parameters"]),
                trained=median(rows["parameters_trained"]),
                items_per_second=median(rows["items_per_second"]),
                memory=median(rows["peak_memory_mib"]),
                own=median(rows["seconds_own"]),
                alone=median(rows["seconds_alone"]),
                step=median(rows["step_p50"]),
                slow_step=median(rows["step_p95"]),
                predicted=median(rows["predictions_per_second"]),
                flops=median(rows["flops_per_step"]),
                energy=median(rows["energy_joules"]),
                setting=str(setting),
                accuracy=float(rows[accuracy_column()].mean()),
                cells=len(rows),
            )
        )
    return found
