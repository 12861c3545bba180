"""Tiny datasets of rows and of sequences, as cards whose distribution lies in the cache."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.packages import Member
from bench.data.card import Card
from bench.data.sources.tabular.rows import Bands, PackageRows
from bench.data.sources.tabular.sequences import PackageSequences, SequenceTable
from bench.spec.cell import Budget, Cell, Scenario

ROWS = 60
"""Rows of each domain."""
SIZES = {"table": 8, "sequence": 12}
NETWORKS = {
    "table": ("mlp.untrained", "ft_transformer.untrained"),
    "sequence": ("peptide_cnn.untrained", "unirep_64.untrained"),
}


def member(name: str, content: bytes) -> Member:
    """A file of a distribution whose wheel is put into the cache."""
    digest = hashlib.sha256(content).hexdigest()
    folder = Path(os.environ["BENCH_CACHE"]) / "downloads" / f"{name}-{digest[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as archive:
        archive.writestr("data.csv", content)
    return Member(distribution=name, version=digest[:8], path="data.csv", sha256=digest)


def credit_csv(rows: int = ROWS) -> bytes:
    """Rows of people below and above a limit of 100: what they owe tells who pays; some ages are missing."""
    random = np.random.default_rng(5)
    lines = ["number,limit,owed,age,town,married,late"]
    for row in range(2 * rows):
        limit, late = (50 if row < rows else 200), row % 2
        owed = random.normal(limit + 300 * late, 60)
        age = "" if row % 7 == 0 else str(int(random.integers(20, 70)))
        town = random.choice(["north", "south"])
        lines.append(f"{row},{limit},{owed:.2f},{age},{town},{row % 3 == 0},{late}")
    return "\n".join(lines).encode()


def table_card(content: bytes | None = None, **changes: Any) -> Card:
    """Card of such people."""
    source = PackageRows(
        type="package-rows",
        member=member("toy-credit", content or credit_csv()),
        label="late",
        values={"0": "paid", "1": "late"},
        domains=Bands(column="limit", bands={"small": (0, 100), "large": (100, 1000)}),
        leave_out=["number"],
        megabytes=1,
    )
    known: dict[str, Any] = {"name": "toy-table", "domains": ["small", "large"], "classes": ["paid", "late"]}
    return _card("table", source, {**known, **changes})


def peptide_csv(seed: int) -> bytes:
    """Sequences of which those with many K are active; one of them is in every such table."""
    random = np.random.default_rng(seed)
    lines = ["first line, of no meaning", "KKKKAKKK,1", "KKKKAKKK,1"]
    for row in range(ROWS):
        letters = "KKKKRL" if row % 2 else "GAVEDS"
        lines.append(f"{''.join(random.choice(list(letters), int(random.integers(5, 12))))},{row % 2}")
    return "\n".join(lines).encode()


def sequence_card() -> Card:
    """Card of such sequences."""
    tables = [
        SequenceTable(
            domain=domain,
            member=member(f"toy-{domain}", peptide_csv(seed)),
            values={"0": "background", "1": "active"},
        )
        for seed, domain in enumerate(("microbes", "tumours"))
    ]
    source = PackageSequences(type="package-sequences", tables=tables, megabytes=1)
    known = {"name": "toy-sequence", "domains": ["microbes", "tumours"], "classes": ["background", "active"]}
    return _card("sequence", source, known)


def _card(modality: str, source: PackageRows | PackageSequences, known: dict[str, Any]) -> Card:
    return Card(
        **{"title": "", "description": "", "licence": "", "modality": modality, "metric": "auc", **known},
        sources=[source],
    )


CARDS = {"table": table_card, "sequence": sequence_card}


def tabular_cell(card: Card, method: str, network: str, shots: int, **changes: Any) -> Cell:
    """A few steps from the card's first domain to its second."""
    scenario = Scenario(
        kind="cross-domain",
        dataset=card.name,
        source=card.domains[0],
        source_classes=tuple(card.classes),
        target=card.domains[1],
        target_classes=tuple(card.classes),
        shots=shots,
    )
    known: dict[str, Any] = {
        "backbone": network,
        "modality": card.modality,
        "metric": card.metric,
        "image_size": SIZES[card.modality],
        "augment": "none",
        "budget": Budget(steps=2, batch_size=8, evaluations=1),
        "seed": 3,
    }
    return Cell(scenario=scenario, method=method, **{**known, **changes})
