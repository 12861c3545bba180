"""Dataset: its items, decoded once and shared by all processes.

Decoded are one memory-mapped array per domain, size and content, in a file that ends with its checksum.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock

from bench.core.digest import combine
from bench.core.errors import UserError
from bench.core.modalities import MODALITIES, Modality
from bench.core.paths import (
    cache_part,
    cache_root,
    data_roots,
    leave_out_now,
    left_out_now,
    own_data,
    skip_bad,
    writing_to_cache,
)
from bench.core.text import counted, file_name
from bench.data.card import Card
from bench.data.corruptions.domains import Corruption
from bench.data.decoders import DECODERS
from bench.data.decoders.base import Decoder
from bench.data.decoding import Fault, Form, decode_items, write_header
from bench.data.index import Index, Progress, Row, bad_images, read_index, remember_bad
from bench.data.sources.encoded import NOTHING, Place

LOG = logging.getLogger(__name__)

CHECKSUM_BYTES = 4
"""Bytes of the CRC-32 behind the array in a file of decoded images."""
PIECE = 2**22
"""Bytes of such a file that are read at a time."""


def silent(what: str, done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Domain:
    """Images of one domain."""

    name: str
    names: tuple[str, ...] = field(repr=False)
    places: tuple[Place, ...] = field(repr=False)
    digests: tuple[str, ...] = field(repr=False)
    """SHA-256 of each image's content."""
    labels: np.ndarray = field(repr=False)
    """int16 (images,): index into the card's classes."""
    groups: np.ndarray = field(repr=False)
    """int32 (images,): index into `group_names`; a number means the same group in every domain."""
    group_names: tuple[str, ...] = field(repr=False)
    published: tuple[str, ...] = field(repr=False)
    """Split that the dataset is published with, or empty, per image."""
    corruption: Corruption | None = None
    """Corruption of the images, after they are decoded."""

    @cached_property
    def content(self) -> str:
        """Digest of the images in their order, whatever they are called."""
        return combine(*self.digests, *([self.corruption.digest] if self.corruption else []))

    def title(self, row: int) -> str:
        """Name an image for messages."""
        path, place = self.places[row]
        return f"{path.parent.name}/{path.name}" + ("" if place is None else f" row {place}")


class BadImages(UserError):
    """Error that names all images of a domain that cannot be decoded."""


@dataclass(frozen=True)
class Dataset:
    """Dataset with its card, its domains, and the fingerprint of their content."""

    card: Card
    fingerprint: str
    origin: str
    """Origin of this copy, for messages and records."""
    warnings: tuple[str, ...]
    """Deviations from the card."""
    domains: dict[str, Domain] = field(repr=False)
    splits: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Splits of each domain, once `bench.data.splits` has computed them."""

    @property
    def kind(self) -> Modality:
        """Modality of its items."""
        return self.card.kind

    @property
    def clean(self) -> Dataset:
        """The same without domains that are others corrupted: its files, each once."""
        names = self.card.clean_domains
        card = self.card.model_copy(update={"domains": names, "corrupted": []})
        return replace(
            self, card=card, domains={name: d for name, d in self.domains.items() if name in names}
        )

    def domain(self, name: str) -> Domain:
        """Return a domain; raises a `UserError` where this copy has no images of it."""
        if name not in self.domains:
            why = "; ".join(text for text in self.warnings if name in text) or f"there are {[*self.domains]}"
            raise UserError(f"no {self.kind.items} of {self.card.name}/{name} in {self.origin}: {why}")
        return self.domains[name]

    @property
    def decoder(self) -> Decoder:
        """Decoder of its items."""
        return DECODERS[self.card.modality]

    def decoded_path(self, domain: str, size: int) -> Path:
        """Return the path of a domain's decoded items."""
        version = combine(self.domain(domain).content, self.decoder.digest, self.card.fit)
        return cache_part("decoded") / f"{self.card.name}-{version}" / f"{file_name(domain)}-{size}.npy"

    def decoded(self, domain: str, size: int, progress: Progress = silent) -> np.ndarray:
        """Items of a domain, memory-mapped, read-only; decoded at the first call.

        The modality says shape and type, as uint8 (items, size, size, 3) of images.

        Raises:
            BadImages: naming every item of the domain that cannot be decoded.
            UserError: an item is another than was listed, or the cache cannot be written or read back.
        """
        path, items = self.decoded_path(domain, size), self.domain(domain)
        shape, dtype = (len(items.places), *self.decoder.shape(size)), np.dtype(self.decoder.dtype)
        array = _mapped(path, shape, dtype)
        if array is None:
            with writing_to_cache():
                path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{path}.lock"):
                    array = _mapped(path, shape, dtype)
                    if array is None:
                        if path.exists():
                            LOG.warning(
                                "decoded %s were damaged and are made anew: %s", self.kind.items, path
                            )
                        self._decode(items, size, path, progress)
                        array = _mapped(path, shape, dtype)
        if array is None:
            raise UserError(f"cannot read '{path}', written just now: see to its disk, and try again")
        return array

    def _decode(self, domain: Domain, size: int, out: Path, progress: Progress) -> None:
        temporary = out.with_suffix(".partial")
        total = len(domain.places)
        bad: dict[int, Fault] = {}
        try:
            if domain.corruption:
                self._corrupt(domain, domain.corruption, size, temporary, progress)
            else:
                bad = decode_items(
                    domain.places,
                    domain.digests,
                    Form(modality=self.card.modality, size=size, fit=self.card.fit),
                    temporary,
                    lambda done: progress(f"decode {domain.name}", done, total),
                )
            if not bad:
                with temporary.open("r+b") as file:
                    checksum = _checksum(file, temporary.stat().st_size)
                    file.write(checksum.to_bytes(CHECKSUM_BYTES))
                temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
        if bad:
            _note(domain, bad, self.card.modality)
            raise BadImages(_named(domain, bad, self.kind))

    def _corrupt(
        self, domain: Domain, corruption: Corruption, size: int, out: Path, progress: Progress
    ) -> None:
        """Corrupt the decoded images of a clean domain into a new `.npy` file."""
        clean = self.decoded(corruption.of, size, progress)
        with out.open("wb") as file:
            write_header(file, clean.shape, "uint8")
            for row, digest in enumerate(domain.digests):
                file.write(corruption.apply(clean[row], digest).tobytes())
                progress(f"corrupt {domain.name}", row + 1, len(clean))
            file.flush()
            os.fsync(file.fileno())


MOST_PASSING = 100
"""Most images of a domain that may be left out because they could not be read for once."""


def _note(domain: Domain, bad: dict[int, Fault], modality: str) -> None:
    """Note images that `--skip-bad` leaves out: for good where their content is the reason, else for now.

    Raises:
        UserError: so many cannot be read for other reasons that it is not the images' fault.
    """
    lasting = {row for row, fault in bad.items() if fault.lasting or domain.digests[row] == NOTHING}
    passing = bad.keys() - lasting
    if len(passing) > MOST_PASSING:
        some = {row: bad[row] for row in passing}
        raise UserError(f"{_named(domain, some, MODALITIES[modality])}: this may pass, so try again")
    if lasting:
        remember_bad({domain.digests[row]: bad[row].reason for row in lasting}, modality)
    leave_out_now(domain.digests[row] for row in sorted(passing))


_whole: set[tuple[str, int, int, int]] = set()
"""Files of decoded images whose checksum this process has verified, with inode, size and time of change."""


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None:
    """Map a decoded domain into memory; None where the file is missing or damaged."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            identity = (str(path), status.st_ino, status.st_size, status.st_mtime_ns)
            if identity not in _whole:
                checksum = _checksum(file, status.st_size - CHECKSUM_BYTES)
                if file.read() != checksum.to_bytes(CHECKSUM_BYTES):
                    return None
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, OverflowError):
        return None
    if (array.shape, array.dtype) != (shape, dtype):
        return None
    _whole.add(identity)
    return array


def _checksum(file: BinaryIO, size: int) -> int:
    """CRC-32 of the first bytes of a file, which is read up to there."""
    checksum, left = 0, size
    while left > 0 and (piece := file.read(min(PIECE, left))):
        checksum, left = zlib.crc32(piece, checksum), left - len(piece)
    return checksum


def _named(domain: Domain, bad: dict[int, Fault], kind: Modality, most: int = 10) -> str:
    named = [f"{domain.title(row)} ({bad[row].reason})" for row in sorted(bad)[:most]]
    more = f" and {len(bad) - most} more" if len(bad) > most else ""
    return f"{domain.name}: cannot read {kind.item} {', '.join(named)}{more}"


_last: dict[tuple[str, ...], Dataset] = {}
"""Dataset that this process opened last, by everything that decides its content."""


def open_again(card: Card, fingerprint: str) -> Dataset:
    """Return the dataset that this process opened last if it has this content, else call `open_dataset`.

    It spares cells that follow each other on the same images to list them again.

    Raises:
        UserError: no source has one.
    """
    content = (card.model_dump_json(), fingerprint)
    key = (*content, *map(str, (cache_root(), own_data(), skip_bad(), left_out_now(), *data_roots())))
    if key not in _last:
        dataset = open_dataset(card)
        _last.clear()
        if dataset.fingerprint != fingerprint:
            return dataset
        _last[key] = dataset
    return _last[key]


def open_dataset(card: Card, progress: Progress = silent, download: bool = True) -> Dataset:
    """Open a dataset out of the first source that has a copy.

    Raises:
        UserError: no source has one.
    """
    index = read_index(card, progress, download)
    bad = {*bad_images(card.modality), *left_out_now()} if skip_bad() else set()
    left_out = [
        f"{domain}/{Path(row.path).name}"
        for domain, rows in index.domains.items()
        for row in rows
        if row.digest in bad
    ]
    kept = {domain: [r for r in rows if r.digest not in bad] for domain, rows in index.domains.items()}
    warnings = [*card.notes, *index.warnings]
    if left_out:
        more = " and more" if len(left_out) > 5 else ""
        few = ", ".join(left_out[:5])
        kind = card.kind
        unreadable = counted(len(left_out), f"unreadable {kind.item}", f"unreadable {kind.items}")
        unreadable += f" of {card.name}"
        warnings.append(f"{unreadable} {'is' if len(left_out) == 1 else 'are'} left out: {few}{more}")
    return _dataset(card, index, kept, warnings)


def _dataset(card: Card, index: Index, kept: dict[str, list[Row]], warnings: list[str]) -> Dataset:
    classes = {name: number for number, name in enumerate(card.classes)}
    groups = sorted({row.group for rows in kept.values() for row in rows})
    group_numbers = {name: number for number, name in enumerate(groups)}
    domains = {}
    for name in [*(d for d in card.domains if d in kept), *(d for d in kept if d not in card.domains)]:
        rows = [row for row in kept[name] if row.label in classes]
        domains[name] = Domain(
            name=name,
            names=tuple(row.name for row in rows),
            places=tuple((Path(row.path), row.row) for row in rows),
            digests=tuple(row.digest for row in rows),
            labels=np.array([classes[row.label] for row in rows], dtype=np.int16),
            groups=np.array([group_numbers[row.group] for row in rows], dtype=np.int32),
            group_names=tuple(groups),
            published=tuple(row.split for row in rows),
        )
    corrupted = {
        name: replace(domains[corruption.of], name=name, corruption=corruption)
        for name, corruption in card.corruptions.items()
        if corruption.of in domains
    }
    warnings += _counts(card, domains)
    fingerprint = _fingerprint(kept)
    if corrupted:
        fingerprint = combine(fingerprint, *(each.digest for each in card.corruptions.values()))[:16]
    return Dataset(card, fingerprint, index.origin, tuple(warnings), {**domains, **corrupted})


def _fingerprint(domains: dict[str, list[Row]]) -> str:
    content = hashlib.sha256()
    for domain, rows in domains.items():
        for row in rows:
            parts = (domain, row.name, row.label, row.group, row.digest, *([row.split] if row.split else []))
            content.update("\0".join(parts).encode())
    return content.hexdigest()[:16]


def _counts(card: Card, domains: dict[str, Domain]) -> list[str]:
    """Warn of counts that are not the card's, and of classes that a domain lacks."""
    warnings = []
    for name, domain in domains.items():
        expected = card.expected_images(name)
        if expected is not None and len(domain.names) != expected:
            found = card.kind.counted(len(domain.names))
            warnings.append(f"{card.name}/{name} has {found}; the card says {expected}")
        missing = [
            card.classes[i]
            for i in np.flatnonzero(np.bincount(domain.labels, minlength=len(card.classes)) == 0)
        ]
        if missing:
            more = " and more" if len(missing) > 5 else ""
            warnings.append(f"{card.name}/{name} has no {card.kind.item} of {', '.join(missing[:5])}{more}")
    return warnings
