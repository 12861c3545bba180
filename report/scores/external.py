"""Results from outside: tables of published accuracies, one a line, beside a card or the user's own."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.core.errors import UserError, did_you_mean
from bench.core.files import read_bounded
from bench.core.text import counted, printable
from bench.data.sources.base import NameLookup, normalised

LARGEST = 4 * 2**20
"""Largest table in bytes."""

LONGEST = 200
"""Characters of a cell that are kept."""

MOST = 20
"""Most faults of a table that are named."""

REQUIRED = ("method", "accuracy")
COLUMNS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in (*REQUIRED, "dataset", "backbone", "pair", "source", "target", "shots")},
    "deviation": ("deviation", "std", "sd"),
    "citation": ("citation", "reference", "paper"),
    "rule": ("rule", "selection rule", "selection"),
    "transductive": ("transductive",),
}
"""Columns, each by the names that tables may have for it; case does not count, underscores are spaces."""

AVERAGE = "average"
"""Pair, source or target of a mean over all ordered pairs of a dataset's domains."""

SAID = {"": None, **dict.fromkeys(("yes", "true", "1"), True), **dict.fromkeys(("no", "false", "0"), False)}
"""Answers of the column `transductive`."""


@dataclass(frozen=True)
class Published:
    """Accuracy and its deviation as published, percent; what a table does not say is empty or None.

    line: in its table.
    source: None where only a pretrained network is transferred.
    shots: labelled target images per class, or `all`.
    """

    line: int
    dataset: str
    method: str
    backbone: str
    source: str | None
    target: str
    shots: str
    accuracy: float
    deviation: float | None
    citation: str
    rule: str
    transductive: bool | None

    @property
    def pair(self) -> str:
        """`source → target`, as all tables name it, or `average`."""
        return AVERAGE if self.target == AVERAGE else f"{self.source or 'pretrained'} → {self.target}"

    @property
    def origin(self) -> str:
        """Network and citation: results of one origin belong together."""
        return ", ".join(filter(None, (self.backbone, self.citation)))

    @property
    def protocol(self) -> str:
        """Rule that chose the evaluation, and whether test images were adapted to, as far as it is said."""
        said = {True: "transductive", False: "inductive", None: ""}[self.transductive]
        return ", ".join(filter(None, (f"chosen by {self.rule}" if self.rule else "", said)))

    @property
    def question(self) -> Published:
        """What two results of a table must not have in common."""
        return replace(self, line=0, accuracy=0.0, deviation=None, method=normalised(self.method))


@dataclass(frozen=True)
class PublishedTable:
    """Results of a table that can be shown, the comment that it opens with, and a line for each fault.

    elsewhere: datasets of its other results.
    """

    results: tuple[Published, ...]
    note: str
    faults: tuple[str, ...]
    elsewhere: tuple[str, ...]


def read_published(path: Path, domains: Mapping[str, Sequence[str]]) -> PublishedTable:
    """Read a table, tab-separated or CSV, whose accuracies are all percent or all fractions of one.

    Args:
        domains: names of the domains by dataset; results of other datasets are left out.

    Raises:
        UserError: it cannot be read, is too large, or lacks a column.
    """
    lines = _lines(path)
    body = [(number, text) for number, text in lines if text.strip() and not text.startswith("#")]
    if not body:
        raise UserError(f"cannot read the table {path}: its first line names no column")
    delimiter = max("\t;,", key=body[0][1].count)
    columns = _columns(path, _cells(body[0][1], delimiter))
    results, faults, elsewhere = [], [], Counter[str]()
    for number, text in body[1:]:
        cells = dict(enumerate(_cells(text, delimiter)))
        row = {name: cells.get(place, "") for name, place in columns.items()}
        dataset = row.get("dataset") or (next(iter(domains)) if len(domains) == 1 else "")
        try:
            if dataset in domains:
                results.append(_result(number, row, dataset, domains[dataset]))
            elif dataset:
                elsewhere[dataset] += 1
            else:
                raise UserError(f"names no dataset, which is one of {', '.join(domains)}")
        except UserError as fault:
            faults.append(f"line {number}: {fault}")
    results, mixed = _percent(results)
    results, again = _once(results)
    opening = [text.lstrip("# ") for _, text in lines[: body[0][0] - 1]]
    return PublishedTable(
        tuple(results), printable(" ".join(opening)).strip(), (*mixed, *faults, *again), tuple(elsewhere)
    )


def few(faults: Sequence[str]) -> list[str]:
    """List faults, of very many the first."""
    rest = len(faults) - MOST
    return [*faults[:MOST], *([f"and {counted(rest, 'line')} more"] if rest > 0 else [])]


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = read_bounded(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"cannot read the table {path}: it is not UTF-8; save it as CSV UTF-8") from None
    except OSError as error:
        raise UserError(f"cannot read the table {path}: {error.strerror or error}") from None
    return list(enumerate(text.split("\n"), 1))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [printable(cell.strip())[:LONGEST] for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:
        return []


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Find the places of the columns that a table has.

    Raises:
        UserError: it lacks one that is needed, or has one twice.
    """
    names = [name.lower().replace("_", " ") for name in header]
    places = {
        column: [place for place, name in enumerate(names) if name in known]
        for column, known in COLUMNS.items()
    }
    for column, several in places.items():
        if len(several) > 1:
            raise UserError(f"{path} has {len(several)} columns for '{column}': remove or rename all but one")
    found = {column: one[0] for column, one in places.items() if one}
    lacking = [name for name in REQUIRED if name not in found]
    lacking += [] if "pair" in found or "target" in found else ["pair (or source and target)"]
    if lacking:
        there = ", ".join(f"'{name[:40]}'" for name in header[:12])
        raise UserError(f"{path} has no column {' and no column '.join(lacking)}, but {there}")
    return found


def _result(line: int, row: Mapping[str, str], dataset: str, domains: Sequence[str]) -> Published:
    """Result of a row, its accuracy as it is written.

    Raises:
        UserError: what is wrong with it.
    """
    if not row["method"]:
        raise UserError("names no method")
    shots = row.get("shots") or "0"
    if not (shots == "all" or (shots.isdecimal() and len(shots) <= 6)):
        raise UserError(f"shots '{shots}': a whole number of labelled images per class, or all")
    said = row.get("transductive", "").lower()
    if said not in SAID:
        raise UserError(f"transductive '{said}': yes, no or empty")
    source, target = _pair(row, dataset, domains)
    return Published(
        line=line,
        dataset=dataset,
        method=row["method"],
        backbone=row.get("backbone", ""),
        source=source,
        target=target,
        shots=str(int(shots)) if shots != "all" else shots,
        accuracy=_number(row, "accuracy"),
        deviation=_number(row, "deviation") if row.get("deviation") else None,
        citation=row.get("citation", ""),
        rule=row.get("rule", ""),
        transductive=SAID[said],
    )


def _pair(row: Mapping[str, str], dataset: str, domains: Sequence[str]) -> tuple[str | None, str]:
    """Source and target of a row, as the dataset calls them."""
    source, target = row.get("source", ""), row.get("target", "")
    if row.get("pair"):
        source, _, target = re.sub(r"\s*(?:→|->|=>)\s*", "→", row["pair"]).rpartition("→")
    averaged = {name.lower() for name in (source, target) if name}
    if averaged == {AVERAGE}:
        return AVERAGE, AVERAGE
    if AVERAGE in averaged:
        raise UserError(
            f"'{source} → {target}' is a mean over some of the pairs: {AVERAGE} is that over all of a "
            "dataset, so name each pair"
        )
    known, found = NameLookup(domains), []
    for name in (source, target):
        found.append(known.get(name))
        if found[-1] is None and (name == target or name not in ("", "pretrained")):
            raise UserError(f"unknown domain of {dataset} '{name}': {did_you_mean(name, domains)}")
    return found[0], str(found[1])


def _number(row: Mapping[str, str], name: str) -> float:
    try:
        value = float(row[name].removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise UserError(f"{name} '{row[name]}': a number from 0 to 100, or from 0 to 1 in all lines")
    return value


def _percent(results: list[Published]) -> tuple[list[Published], list[str]]:
    """Results in percent; where a table has both percent and fractions, those that most of its lines are."""
    percent = [each for each in results if each.accuracy > 1]
    fractions = [each for each in results if 0 < each.accuracy <= 1]
    if not fractions:
        return results, []
    fewer, scale = (percent, 100.0) if len(fractions) > len(percent) else (fractions, 1.0)
    left_out = {each.line for each in fewer}
    kept = [
        replace(
            each,
            accuracy=scale * each.accuracy,
            deviation=None if each.deviation is None else scale * each.deviation,
        )
        for each in results
        if each.line not in left_out
    ]
    if not fewer:
        return kept, []
    kinds = ("percent", "fractions") if fewer is percent else ("fractions", "percent")
    where = ", ".join(str(each.line) for each in fewer[:MOST]) + (" and more" if len(fewer) > MOST else "")
    lines = "line" if len(fewer) == 1 else "lines"
    return kept, [f"{lines} {where}: {kinds[0]} among {kinds[1]} are left out: write all accuracies alike"]


def _once(results: list[Published]) -> tuple[list[Published], list[str]]:
    """Results without those that repeat an earlier one."""
    first: dict[Published, Published] = {}
    faults = []
    for each in results:
        other = first.setdefault(each.question, each)
        if other is not each:
            what = f"{each.method}, {each.pair}" + (f", {each.origin}" if each.origin else "")
            faults.append(f"line {each.line}: repeats line {other.line} ({what}), which is shown")
    return list(first.values()), faults
