"""Questions of an edition, which records have to answer to be compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from bench.core.errors import UserError
from bench.core.modalities import MODALITIES
from bench.data.catalog import load_card
from bench.records.record import Record
from bench.spec.cell import Cell
from bench.spec.matrix.editions import PROTOCOL, Edition, digest_of, edition, question
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite, suite_names


@dataclass(frozen=True)
class Questions:
    """Edition with its questions: the keys of its suite's cells, whatever their method."""

    name: str
    edition: Edition
    keys: dict[str, Cell]
    """A cell of each question."""

    def asks(self, cell: Cell) -> bool:
        """Return True if a cell is one of the suite's, by whatever method."""
        return question(cell) in self.keys

    def fault(self, record: Record) -> str | None:
        """Explain why a record's number does not compare with others of this edition; None where it does."""
        if not self.asks(record.request.cell):
            return f"is no cell of {self.name} (it was run for suite '{record.request.suite}')"
        digests, items = record.digests, MODALITIES[record.request.cell.modality].items
        if digests.dataset != self.edition.dataset:
            return f"is of {items} with the fingerprint {digests.dataset}, not {self.edition.dataset}"
        if digests.card not in (None, self.edition.card):
            return f"is of a card with the digest {digests.card}, not {self.edition.card}"
        return None


def cells_of(name: str) -> list[Cell]:
    """Cells of a packaged suite; none where there is no such suite, or it is about one's own items."""
    if name not in suite_names():
        return []
    try:
        suite = load_suite(name)
        return plan(suite, load_card(suite.dataset))
    except UserError:
        return []


def suite_questions(name: str) -> tuple[dict[str, Cell], str]:
    """Cells of a packaged suite by question, and the digest of its dataset's card."""
    suite = load_suite(name)
    card = load_card(suite.dataset)
    one = suite.model_copy(update={"methods": ["any"], "set": {}, "controls": False})
    return {question(cell): cell for cell in plan(one, card)}, card.digest


@cache
def questions_of(name: str) -> Questions:
    """Questions of an edition.

    Raises:
        UserError: there is no such edition, or this release asks otherwise.
    """
    frozen = edition(name)
    keys, card = suite_questions(frozen.suite)
    if frozen.protocol != PROTOCOL:
        raise UserError(
            f"{name} is of protocol {frozen.protocol}, and this release of {PROTOCOL}: use that one's"
        )
    if digest_of({*keys}) != frozen.questions or card != frozen.card:
        raise UserError(f"the suite '{frozen.suite}' is not what it was as {name}: this checkout was changed")
    return Questions(name, frozen, keys)
