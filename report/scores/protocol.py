"""Protocols of cells: what all cells of a suite have alike, so that no table averages over several.

A results folder may hold more than its suite asks for: the same pairs with other steps, images or classes,
from a run with other options or before the suite was edited. Those get tables of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bench.core.modalities import MODALITIES
from bench.spec.cell import Cell, Recipe, content_hash

AXES = {"method", "overrides", "control_of", "seed", "backbone", "headline"}
"""Fields of a cell in which those of one table may differ, or that its supervision names."""
SCENARIO_AXES = {"kind", "source", "target", "shots", "parts", "federation", "stream"}
CLASSES = ("source_classes", "target_classes")


def _number(noun: str) -> Callable[[int], str]:
    return lambda number: f"{number} {noun if number == 1 else noun + 's'}"


WORDS: dict[str, Callable[[Any], str]] = {
    "steps": _number("step"),
    "batch_size": "batches of {}".format,
    "evaluations": _number("evaluation"),
    "trials": _number("tuning trial"),
    "modality": "{}".format,
    "metric": "judged by {}".format,
    "image_size": "{}".format,
    "augment": "augmentation {}".format,
    "precision": "{}".format,
    "dataset": "{}".format,
    "longest": lambda steps: "until converged" if steps else "of a fixed length",
    "recipe": lambda recipe: Recipe(**recipe).label or "the usual recipe",
    "unsplit": {True: "tested on all items", False: "tested on held-out items"}.__getitem__,
    "transductive": {True: "transductive", False: "not transductive"}.__getitem__,
    "fold": lambda fold: "no fold held out" if fold is None else f"fold {fold} held out",
    "classes": lambda sides: f"{len(sides[-1])} classes",
}
"""How tables name a value; others are named by a digest."""


class Part(NamedTuple):
    """One field of a protocol, in words, and a digest of its value."""

    field: str
    words: str
    value: str


def protocol(cell: Cell) -> tuple[Part, ...]:
    """Protocol of a cell."""
    fields = cell.model_dump(exclude=AXES | {"scenario", "budget"})
    fields |= cell.scenario.model_dump(exclude=SCENARIO_AXES) | cell.budget.model_dump()
    if fields.get("longest"):
        # However many steps it took to converge.
        del fields["steps"]
    fields["classes"] = [fields.pop(name) for name in CLASSES]
    fields["image_size"] = f"{cell.image_size} {MODALITIES[cell.modality].unit}"
    named = ((name, value, WORDS.get(name)) for name, value in fields.items())
    digests = {name: content_hash(value) for name, value in fields.items()}
    return tuple(
        Part(name, words(value) if words else f"{name} {digests[name][:4]}", digests[name])
        for name, value, words in named
    )


def set_apart(
    kinds: Sequence[Any], protocols: Sequence[Any], supervisions: list[Any], asked: Mapping[str, set[Part]]
) -> None:
    """Name in the supervision of cells what the suite's cells of their kind, `asked`, never have.

    Where the suite has none of a kind, what is not the same in all cells of the kind is named. Places without
    a protocol, whose cell is not known, stay as they are.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, parts in enumerate(protocols):
        if isinstance(parts, tuple):
            places[kinds[place]].append(place)
    for kind, found in places.items():
        usual, different = asked.get(kind, set()), {protocols[place] for place in found}
        known = usual.union(*different)
        words = Counter((part.field, part.words) for part in known)
        fields = Counter(part.field for part in known)
        named = {
            parts: ", ".join(
                part.words if words[part.field, part.words] == 1 else f"{part.words} {part.value[:4]}"
                for part in parts
                if (part not in usual if usual else fields[part.field] > 1)
            )
            for parts in different
        }
        for place in found:
            if text := named[protocols[place]]:
                supervisions[place] = replace(supervisions[place], protocol=text)


def of_classes(names: Sequence[str], others: Collection[Sequence[str]]) -> str:
    """Name classes among several sets of them, by their number if that is no other's."""
    text = WORDS["classes"]([names])
    alike = sum(len(each) == len(names) for each in others) > 1
    return f"{text} {content_hash([*names])[:4]}" if alike else text
