"""Own items of the user: a folder `<domain>/<class>/*`, or a table of paths, texts or rows; no card."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from bench.core.errors import UserError, check_name
from bench.core.modalities import MODALITIES, Modality
from bench.core.paths import ITEM_COLUMNS
from bench.core.text import counted, printable
from bench.data.card import MOST_CLASSES, Card, domain_fault, own_name
from bench.data.sources.base import alike
from bench.data.sources.folder import OwnFolder
from bench.data.sources.layouts import few
from bench.data.sources.manifest import OwnTable, read_manifest
from bench.data.sources.parquet import LIST, is_list, table_title
from bench.data.sources.shards.own import OwnFiles
from bench.data.sources.tables import IMAGES, OTHER_NAMES, header_of, item_column
from bench.data.sources.tabular.own import OwnRows, own_rows
from bench.data.sources.texts.own import KINDS, OwnTexts, own_texts
from bench.data.sources.tree import Tree, read_tree
from bench.spec.toml import read_toml

CARD = "card.toml"
"""Name of a card in the folder itself, which then holds."""

LEAST = 3
"""Smallest number of items of a class in every domain: one each for training, validation and test."""

NAMED = 10
"""Most classes that a note names."""

TABLES = (".csv", ".tsv", ".parquet", LIST)

METRICS = {"table": "auc", "sequence": "auc"}
"""What results are judged by, of a modality whose classes are rarely alike in size."""

Counts = dict[tuple[str, str], Counter[str]]
"""Items by (domain, class), and in them by published split."""


@dataclass(frozen=True)
class Own:
    """What was found where one's own items are."""

    place: Path
    modality: str
    source: OwnFolder | OwnTable | OwnTexts | OwnRows | OwnFiles
    counts: Counts = field(default_factory=lambda: defaultdict(Counter))
    tree: Tree | None = None
    columns: list[str] = field(default_factory=list)
    """Names of the numbers of a row."""
    notes: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Modality:
        """Modality of the items."""
        return MODALITIES[self.modality]


def table_modality(header: Sequence[str], named: Mapping[str, str]) -> str:
    """Modality of the items of a table, by the columns that it has: of rows where none holds other items."""
    if item_column(header, replace(IMAGES, named=named)):
        return "image"
    written = (
        kind for kind, (columns, _) in KINDS.items() if item_column(header, replace(columns, named=named))
    )
    return next(written, "table")


@lru_cache(maxsize=4)
def own_card(place: Path, modality: str | None = None, columns: tuple[tuple[str, str], ...] = ()) -> Card:
    """Make a card for a folder or a table; its modality is recognised where none is named.

    `columns` are pairs of what a column of a table says (`label`) and what the table calls it.

    Raises:
        UserError: it does not exist, holds no items, or fewer than two classes are in every domain.
    """
    try:
        str(place.resolve()).encode()
    except UnicodeEncodeError:
        raise UserError(f"rename '{printable(str(place))}' or what it is in: the path is not UTF-8") from None
    if modality:
        check_name("modality", modality, OWN)
    if place.suffix.lower() in TABLES and place.is_file():
        return _card(_table(place, modality, dict(columns)))
    if not place.is_dir():
        raise UserError(
            f"no folder or table at '{place}': --data takes a folder with <domain>/<class>/<images>, "
            "or a .csv or .parquet with the columns path (or text, sequence, or numbers), domain, label"
        )
    if columns:
        option, name = columns[0]
        raise UserError(
            f"--{option} {name} names a column of a table, and '{place}' is a folder; its parquet files are "
            f"read as one table with --data hf:{place}"
        )
    return _folder(place, modality)


def _folder(place: Path, modality: str | None) -> Card:
    """Make a card for a folder of files: of images, or of recordings where it holds no images."""
    if modality not in (None, "image", "audio"):
        raise UserError(f"'{place}' is a folder, and {MODALITIES[modality].items} are read from tables")
    source = OwnFolder(type="own-folder", path=str(place.resolve()))
    tree = read_tree(place)
    if modality == "audio" or (not tree.images and modality is None):
        recordings = read_tree(place, "audio")
        if recordings.images or modality:
            tree, source = recordings, source.model_copy(update={"modality": "audio"})
    if (place / CARD).is_file():
        card = Card(**{"name": own_name(place), "modality": source.modality, **read_toml(place / CARD, Card)})
        notes = [*tree.notes, *_unknown(card, tree)]
        return card.model_copy(update={"name": own_name(place), "sources": [source], "notes": notes})
    found = Own(place, source.modality, source, tree=tree)
    for image in tree.images:
        found.counts[image.domain, image.label][image.split] += 1
    return _card(found)


OWN = ("image", "text", "audio", "table", "sequence")
"""Modalities that one's own items may be of."""


def _table(file: Path, chosen: str | None, named: dict[str, str]) -> Own:
    """Read a table of images, recordings, texts or sequences, or whose rows are the items."""
    items = [name for name in ITEM_COLUMNS if name in named]
    if len(items) > 1 or (items and chosen not in (None, *items)):
        other = f"--modality {chosen}" if len(items) == 1 else f"--{items[1]}"
        raise UserError(f"--{items[0]} and {other} both say what the items are: give one of them")
    path, header = str(file.resolve()), header_of(file)
    if "image" in named:
        named["path"] = named.pop("image")
    modality = items[0] if items else chosen or table_modality(header, named)
    if modality == "table":
        found = _rows(file, path, named, recognised=chosen is None)
    elif modality in KINDS:
        source = OwnTexts.model_validate(
            {"type": "own-texts", "path": path, "columns": named, "modality": modality}
        )
        found = Own(file, modality, source)
        for text in own_texts(file, named, source.modality):
            found.counts[text.domain, text.label][text.split] += 1
    elif is_list(file):
        found = _files(file, modality, header, named)
    elif modality == "audio":
        raise UserError(
            f"'{file}' is a table, and recordings are read from folders <domain>/<class>, or out of parquet "
            "files: --data hf:FOLDER --audio COLUMN"
        )
    else:
        found = Own(file, modality, OwnTable(type="own-table", path=path, columns=named))
        for row in read_manifest(file, named):
            found.counts[row["domain"], row["label"]][row["split"]] += 1
    if is_list(file) and {domain for domain, _ in found.counts} == {file.stem}:
        there = ", ".join(header[:NAMED])
        found.notes.append(f"one domain: no column says which, and --domain names one; there are {there}")
    return found


def _files(file: Path, modality: str, header: Sequence[str], named: dict[str, str]) -> Own:
    """Read shards that hold files of images or recordings."""
    item = named.pop("path", None) or named.pop("audio", None) or item_column(header, IMAGES)
    if item is None:
        there = ", ".join(header[:NAMED])
        raise UserError(f"{table_title(file)}: name the column of files with --{modality}; there are {there}")
    source = OwnFiles(type="own-files", path=str(file.resolve()), item=item, columns=named)
    found = Own(file, modality, source)
    for domain, label, _, split in source.facts():
        found.counts[domain, label][split] += 1
    return found


def _rows(file: Path, path: str, named: dict[str, str], recognised: bool) -> Own:
    """Read a table whose rows are the items."""
    rows = own_rows(Path(path), named)
    if recognised and not rows.numeric:
        # More likely one of images or texts, under a name that is not known.
        others = (f"'{name}' (nor {', '.join(OTHER_NAMES[name])})" for name in ("path", *KINDS))
        raise UserError(
            f"{table_title(file)} has no column {', nor '.join(others)}, and none of numbers: rename the one "
            "of images, texts or sequences; if its rows are the items, say --modality table"
        )
    notes = [f"left out: {few(rows.left_out, NAMED)}"] if rows.left_out else []
    notes += [f"many values: {text}" for text in rows.many[:NAMED]]
    source = OwnRows(type="own-rows", path=path, columns=named)
    found = Own(file, "table", source, columns=rows.columns, notes=notes)
    for domain, item in rows.rows():
        found.counts[domain, item.label][item.split] += 1
    return found


def _unknown(card: Card, tree: Tree) -> list[str]:
    """Name the folders that are no domain or class of a card which the folder holds."""
    there = {(image.domain, image.label) for image in tree.images}
    alone = tree.flat and len(card.domains) == 1
    unknown = sorted(
        f"{domain}/{label}"
        for domain, label in there
        if label not in card.classes or not (alone or domain in card.domains)
    )
    return [f"{len(unknown)} folders are no class of the card: {few(unknown)}"] if unknown else []


def _card(own: Own) -> Card:
    place, counts, tree = own.place, own.counts, own.tree
    domains = sorted({domain for domain, _ in counts})
    labels = sorted({label for _, label in counts})
    notes = list(tree.notes if tree else own.notes)
    if not counts:
        raise UserError(
            f"no images in '{place}', nor recordings: it takes folders <domain>/<class>/<images>"
            + "".join(f"; {note}" for note in notes)
        )
    for domain in domains:
        if fault := domain_fault(domain):
            raise UserError(f"domain '{domain}' of '{place}' {fault}: rename it")
    where: dict[str, set[str]] = defaultdict(set)
    for domain, label in counts:
        where[label].add(domain)
    alone = _strangers(where, domains)
    domains = [domain for domain in domains if domain not in alone]
    reasons = {label: _shortage(counts, domains, label, where[label], own.kind) for label in labels}
    shared = [label for label in labels if not reasons[label]]
    left_out = [f"domain {domain} (no class of another)" for domain in alone]
    left_out += [f"{label} ({reasons[label]})" for label in labels if reasons[label]]
    if len(shared) < 2:
        raise UserError(
            f"'{place}' has {counted(len(labels), 'class', 'classes')} in "
            f"{counted(len(domains), 'domain')} ({', '.join(domains[:5])}), but "
            f"{len(shared)} with {LEAST} {own.kind.items} or more in every domain: 2 are needed"
            + (f"; read as {tree.reading}" if tree else "")
            + (f"; left out: {few(left_out)}" if left_out else "")
        )
    if len(shared) > MOST_CLASSES:
        raise UserError(f"refused: '{place}' has {len(shared):,} classes, more than {MOST_CLASSES:,}")
    if left_out:
        notes.append(f"left out: {few(left_out, NAMED)}")
    for names in (domains, labels):
        if groups := [" and ".join(f"'{name}'" for name in group) for group in alike(names)]:
            what = "domains" if names is domains else "classes"
            notes.append(f"names alike: {few(groups, NAMED)} are different {what}, as their names differ")
    sizes = {label: sum(counts[domain, label].total() for domain in domains) for label in shared}
    how = f" Read as {tree.reading}." if tree else ""
    return Card(
        name=own_name(place),
        title=f"Own {own.kind.items}: {place.resolve().name}",
        description=f"{len(shared)} classes in {len(domains)} domains.{how}",
        licence="yours",
        domains=domains,
        classes=sorted(shared, key=lambda label: (-sizes[label], label)),
        modality=own.modality,
        metric=METRICS.get(own.modality, "accuracy"),
        columns=own.columns,
        fit="crop",
        sources=[own.source],
        notes=notes,
    )


def _strangers(where: Mapping[str, set[str]], domains: list[str]) -> list[str]:
    """List domains that have no class of another, if most have some, by the domains of each class."""
    known = set().union(*(there for there in where.values() if len(there) > 1))
    return [domain for domain in domains if domain not in known] if 2 * len(known) > len(domains) else []


def _shortage(counts: Counts, domains: list[str], label: str, everywhere: set[str], kind: Modality) -> str:
    """Say in which domains a class has too few items; empty where it has enough in all."""
    if len(everywhere) == 1 and len(domains) > 1:
        return f"only in {next(iter(everywhere))}"
    there = [domain for domain in domains if domain in everywhere]
    reasons = [f"none in {domain}" for domain in domains if domain not in there]
    for domain in there:
        by_split = counts[domain, label]
        # What is published as test or validation images is not trained on, nor split again.
        train = by_split["train"] + by_split[""]
        if train < 1 + (not by_split["validation"]) + (not by_split["test"]):
            which = " to train on" if by_split["validation"] or by_split["test"] else ""
            reasons.append(f"{kind.counted(train)}{which} in {domain}")
    return ", ".join(reasons)
