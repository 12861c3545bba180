"""A tiny task of texts: made-up sentences whose words tell the class, in three domains."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.own import own_card
from bench.spec.cell import Budget, Cell, Scenario

CLASSES = ("bird", "fish", "fruit", "tool")
WORDS = {
    "bird": ("crow", "heron", "wing", "nest"),
    "fish": ("carp", "eel", "fin", "river"),
    "fruit": ("apple", "plum", "ripe", "tree"),
    "tool": ("saw", "hammer", "bench", "steel"),
}
FILL = {
    "notes": ("a", "the", "some", "seen"),
    "ads": ("buy", "now!", "best", "the"),
    "posts": ("so", "my", "lol", "the"),
}
TINY = "tiny_encoder.untrained"


def sentences(domain: str, each: int = 14) -> list[tuple[str, str]]:
    """Texts of a domain with their classes."""
    random = np.random.default_rng(len(domain))
    found = []
    for label in CLASSES:
        for number in range(each):
            words = [
                *random.choice(WORDS[label], 3),
                *random.choice(FILL[domain], 2 + number % 4),
                str(number),
            ]
            found.append((" ".join(random.permutation(words)), label))
    return found


def write_texts(path: Path) -> Path:
    """Write the table of all domains."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["text", "label", "domain"])
        for domain in FILL:
            lines.writerows((text, label, domain) for text, label in sentences(domain))
    return path


def text_cell(
    table: Path, method: str, shots: int = 2, source: str | tuple[str, ...] = "notes", **changes: Any
) -> Cell:
    """notes -> ads, four classes, a few steps of the tiny encoder."""
    card = own_card(table)
    scenario = Scenario(
        kind="cross-domain" if isinstance(source, str) else "multi-source",
        dataset=card.name,
        source=source,
        source_classes=CLASSES,
        target="ads",
        target_classes=CLASSES,
        shots=shots,
    )
    known: dict[str, Any] = {
        "backbone": TINY,
        "modality": "text",
        "image_size": 16,
        "augment": "word-dropout",
        "budget": Budget(steps=4, batch_size=8, evaluations=1),
        "seed": 3,
    }
    return Cell(scenario=scenario, method=method, **{**known, **changes})
