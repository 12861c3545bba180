"""Artifacts that several cells can share: content-addressed tensors on disk, safe to delete at any moment."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.core.files import atomic_file
from bench.core.paths import cache_limit, cache_part

Tensors = dict[str, Tensor]
Notes = dict[str, Any]
"""JSON beside tensors: costs, positions, findings."""
Made = tuple[Tensors, Notes]

LOG = logging.getLogger(__name__)


@cache
def _warn(text: str) -> None:
    """Warn of what every cell of this process will meet, once."""
    LOG.warning("%s", text)


class Artifacts:
    """The shared cache of tensors, of at most `limit` bytes: what was not read for longest has to go.

    `get` makes an artifact or reads it; whoever asks first makes it and the others wait. A disk that is full
    or that cannot be written to stops the sharing, not the work.
    """

    def __init__(self, root: Path | None = None, limit: int | None = None) -> None:
        self.root = root or cache_part("artifacts")
        self.limit = cache_limit() if limit is None else limit

    def get(self, kind: str, key: str, make: Callable[[], Made]) -> tuple[Tensors, Notes, bool]:
        """Tensors (on the CPU), their notes, and whether they were made now rather than found."""
        path = self.root / kind / f"{key}.safetensors"
        if found := unpack(path):
            return *found, False
        lock = FileLock(f"{path}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            _warn(f"nothing is shared between cells: {self.root} ({error.strerror or error})")
            return *plain(make), True
        try:
            if found := unpack(path):
                return *found, False
            tensors, notes = plain(make)
            self._keep(path, tensors, notes)
            return tensors, notes, True
        finally:
            lock.release()

    def _keep(self, path: Path, tensors: Tensors, notes: Notes) -> None:
        try:
            # Its checksums tell a damaged one, and it can be made again: nobody waits for the disk.
            pack(path, tensors, notes, durable=False)
            self._make_room(path)
        except OSError as error:
            _warn(f"not kept for other cells: {self.root} ({error.strerror or error})")

    def _make_room(self, newest: Path) -> None:
        """Remove what was not read for longest until the limit holds; the newest stays in any case."""
        files = _files(self.root)
        size = sum(status.st_size for _, status in files)
        for path, status in sorted(files, key=lambda file: file[1].st_mtime):
            if size <= self.limit:
                return
            if path != str(newest):
                Path(path).unlink(missing_ok=True)
                size -= status.st_size


class Alone(Artifacts):
    """Shares nothing: each cell makes all of its own, as if it were the only one."""

    def get(self, kind: str, key: str, make: Callable[[], Made]) -> tuple[Tensors, Notes, bool]:
        """Made now."""
        return *plain(make), True


def plain(make: Callable[[], Made]) -> Made:
    """Copy made tensors to the CPU, apart from anything that can change."""
    tensors, notes = make()
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, notes


def pack(path: Path, tensors: Tensors, notes: Notes, durable: bool = True) -> None:
    """Contiguous tensors on the CPU and their notes (JSON) into a file, which is whole or absent.

    Raises:
        OSError: it cannot be written.
    """
    content = json.dumps({"name": path.name, "notes": notes, "tensors": _described(tensors)})
    with atomic_file(path, durable=durable) as temporary:
        # One entry: the order of several is not the same in every process.
        about = {"about": f"{zlib.crc32(content.encode())} {content}"}
        try:
            save_file(tensors, temporary, about)
        except SafetensorError as error:
            raise OSError(str(error)) from None


def _described(tensors: Tensors) -> dict[str, list[Any]]:
    """Type, shape and CRC-32 of tensors by name: against damage, and faster than a disk."""
    return {
        name: [str(tensor.dtype), [*tensor.shape], zlib.crc32(_bytes(tensor))]
        for name, tensor in tensors.items()
    }


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def unpack(path: Path) -> Made | None:
    """Tensors and notes of a packed file, if it is there; a damaged one is thrown away, to be made anew."""
    try:
        if path.exists() and not path.is_file():
            # A pipe would be waited for.
            raise ValueError("no regular file")
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum, _, content = file.metadata()["about"].partition(" ")
        about = json.loads(content)
        if checksum != str(zlib.crc32(content.encode())) or about["tensors"] != _described(tensors):
            raise ValueError("checksums differ")
        if about["name"] != path.name:
            # As where a copy of a cache has gone wrong: its name says what it is.
            raise ValueError(f"it is {about['name']}")
        os.utime(path)  # Its turn to go is put off.
        return tensors, about["notes"]
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        LOG.warning("damaged, and made anew: %s (%s)", path, error)
        # A folder in its place stays, and then nothing is kept.
        with contextlib.suppress(OSError):
            path.unlink()
        return None


def _files(root: Path) -> list[tuple[str, os.stat_result]]:
    """Artifacts and their sizes; those that go away meanwhile are left out."""
    found = []
    for kind in root.iterdir():
        # Of thousands of files, paths would take longer than what the system says of them.
        with contextlib.suppress(OSError), os.scandir(kind) as entries:
            for entry in entries:
                if entry.name.endswith(".safetensors"):
                    with contextlib.suppress(OSError):
                        found.append((entry.path, entry.stat()))
    return found
