"""Catalog of datasets: cards by name, and the user's own images where they are named."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bench.core.errors import check_name
from bench.core.paths import own_columns, own_data, own_modality
from bench.data.card import CARDS, Card, own_name
from bench.data.own import own_card
from bench.spec.toml import read_toml


def card_names() -> list[str]:
    """List the names of the datasets that have a card, and of the user's own images if they are given."""
    own = own_data()
    return sorted({path.stem for path in CARDS.glob("*.toml")} | ({own_name(own)} if own else set()))


def load_card(name: str) -> Card:
    """Load the card of that name; raises a `UserError` with a suggestion when there is none."""
    own = own_data()
    if own and name == own_name(own):
        return own_card(own, own_modality(), own_columns())
    check_name("dataset", name, card_names())
    return _packaged(name)


def card_folder(name: str) -> Path:
    """Return the folder that the card of that name is in, with the files that it names."""
    own = own_data()
    return own if own and name == own_name(own) else CARDS


@cache
def _packaged(name: str) -> Card:
    path = CARDS / f"{name}.toml"
    return Card(**{"name": name, **read_toml(path, Card)})
