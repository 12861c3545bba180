"""Digests of all that decides a cell's numbers beside its question: code, images, card, weights, libraries.

The one place where they are made: records, features, source stages and checkpoints are named by them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path

from bench.core.digest import (
    engine_digest,
    file_digest,
    libraries_of,
    library_versions,
    shared_code,
)
from bench.core.errors import InputsChanged, OldProcess
from bench.data.card import Card
from bench.data.dataset import Dataset
from bench.method.registry import load_method, method_digest, method_shared_files
from bench.networks.backbones.weights import weights_digest
from bench.records.record import Digests
from bench.spec.cell import Cell


def present_digests(dataset: Dataset, method: str, backbones: Iterable[str]) -> Digests:
    """Digests as they are now; `method` is that of its code. Weights that are not here are left out."""
    found = ((name, weights_digest(name)) for name in dict.fromkeys(backbones))
    return Digests(
        method=method,
        engine=engine_digest(),
        dataset=dataset.fingerprint,
        card=dataset.card.digest,
        weights=tuple((name, digest) for name, digest in found if digest),
        libraries=library_versions(*dataset.decoder.libraries),
    )


def with_own_weights(digests: Digests, cell: Cell) -> Digests:
    """Digests of a run as those of one of its cells: of all weights, its own, as they are on this machine.

    Raises:
        InputsChanged: they are not those that the run began with.
    """
    name = cell.backbone
    here, before = weights_digest(name), dict(digests.weights).get(name)
    if here and before and here != before:
        raise InputsChanged(f"the weights of '{name}' have changed since this run began: run it again")
    own = here or before
    return digests.model_copy(update={"weights": ((name, own),) if own else ()})


def check_code(name: str, digests: Digests) -> None:
    """Check that the code of this process is that which digests were made of: files change while it runs.

    Raises:
        OldProcess: this process loaded the code of the engine, the method or the libraries before it became
            what it was then, and is still.
        InputsChanged: it is another.
        UserError: the method cannot be loaded.
    """
    named = libraries_of(digests.libraries or "")
    versions, versions_now = library_versions(*named), partial(library_versions.__wrapped__, *named)
    for what, here, now, before in (
        (f"code of '{name}'", loaded_digest(name), partial(method_digest, name), digests.method),
        ("code of the engine", engine_digest(), engine_digest.__wrapped__, digests.engine),
        ("versions of the libraries", versions, versions_now, digests.libraries),
    ):
        if before is not None and here != before:
            if now() == before:
                raise OldProcess
            raise InputsChanged(f"the {what} changed since this run began: run it again")


def loaded_digest(name: str) -> str:
    """Digest of a method's code, and of that which it starts from, as this process has loaded them."""
    method = load_method(name)
    if method.starts_from:
        loaded_digest(method.starts_from)
    return _digest_when_loaded(name, method)  # type: ignore[arg-type]


_known: dict[Path, str] = {}
"""Shared code of methods, with the digest that each file had when this process was about to load it."""


def note_code() -> None:
    """Note the code that this process is about to load: other code than this it cannot load any more."""
    engine_digest()
    for path in shared_code():
        _known.setdefault(path, file_digest(path))


@cache
def _digest_when_loaded(name: str, _loaded: type) -> str:
    """Digest of a method's code as this process has loaded it, whatever becomes of its file.

    Raises:
        OldProcess: of code that it shares, this process has loaded an older version for another method.
    """
    for path in method_shared_files(name):
        digest = file_digest(path)
        if _known.setdefault(path, digest) != digest:
            raise OldProcess
    return method_digest(name)


def check_dataset(card: Card, dataset: Dataset, digests: Digests) -> None:
    """Check that a card and its images are those that digests were made of.

    Raises:
        InputsChanged: they have changed since then.
    """
    for what, here, before in (
        ("card", card.digest, digests.card),
        ("images", dataset.fingerprint, digests.dataset),
    ):
        if before is not None and here != before:
            raise InputsChanged(f"the {what} of '{card.name}' changed since this run began: run it again")
