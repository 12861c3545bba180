"""Editions: suites that are frozen under a number, so that numbers of different people compare."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bench.core.digest import combine
from bench.core.errors import UserError, did_you_mean
from bench.spec.cell import Cell
from bench.spec.toml import Frozen, read_toml

EDITIONS = Path(__file__).parents[2] / "suites" / "editions" / "editions.toml"
PROTOCOL = 1
"""Version of the protocol: it rises when cells of the same key would be asked otherwise."""
ANY = "any"
"""Stands for the method of a cell where its question is meant."""


class Edition(Frozen):
    """What is frozen: the questions of a suite, the content of its dataset, and the protocol."""

    suite: str
    questions: str
    """Digest of the suite's questions: its cells without their methods, which anybody may add."""
    dataset: str
    """Fingerprint of the images."""
    card: str
    """Digest of the dataset's card."""
    protocol: int


class File(Frozen):
    """File of editions, by name: `<suite>@<number>`."""

    name: str = ""
    editions: dict[str, Edition]


@cache
def editions() -> dict[str, Edition]:
    """Editions by name."""
    return File.model_validate(read_toml(EDITIONS, File)).editions


def edition(name: str) -> Edition:
    """Edition of that name.

    Raises:
        UserError: there is none, as of a suite without a number.
    """
    if name not in editions():
        raise UserError(
            f"'{name}' is no edition of a suite, whose numbers compare: {did_you_mean(name, editions())}"
        )
    return editions()[name]


def question(cell: Cell) -> str:
    """Key of a cell's question: what it asks of any method."""
    return cell.model_copy(update={"method": ANY, "overrides": {}, "control_of": ()}).key


def digest_of(questions: set[str]) -> str:
    """Digest of questions, in whatever order a suite asks them."""
    return combine(*sorted(questions))
