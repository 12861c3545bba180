"""Faults of input and output at the N-th call below a folder, over a whole tree of processes: see `faults.c`."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("faults.c")
STATE = "FAULTS_STATE"
"""Environment variable with the file that the processes of a tree share."""

WRITE, ALLOCATE, CHANGE, CLOSE, READ = 1, 2, 4, 8, 16
"""What a call does; the same numbers in faults.c, as the next."""
KILL, HALF, FAIL, STAY = 1, 2, 4, 8


@dataclass(frozen=True)
class Kind:
    """Kind of a fault: the calls that it can strike, what it does, and with which error."""

    calls: int
    action: int
    error: int = 0

    @property
    def kills(self) -> bool:
        """Return True if all processes end."""
        return bool(self.action & KILL)


KINDS = {
    "crash": Kind(CHANGE, KILL),
    "torn write": Kind(WRITE, KILL | HALF),
    "ENOSPC once": Kind(ALLOCATE | CLOSE, FAIL, errno.ENOSPC),
    "full disk": Kind(ALLOCATE, FAIL | HALF | STAY, errno.ENOSPC),
    "EIO once": Kind(CHANGE | CLOSE, FAIL, errno.EIO),
    "dead disk": Kind(CHANGE, FAIL | STAY, errno.EIO),
    "short write": Kind(WRITE, HALF),
    "EIO of a read": Kind(READ, FAIL, errno.EIO),
}
"""`once`: the call after it succeeds. A full disk takes half of what is written last, and lets files go."""


class Call(NamedTuple):
    """Call that can be struck, as a counting run saw it."""

    does: int
    pid: int
    name: str
    path: str
    to: str


def build(folder: Path) -> Path | None:
    """Compile the library that is preloaded; None where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Faults:
    """The faults of this process and those that it starts; it was started with `preloaded`."""

    FIELDS = struct.Struct("8l")
    SIZE = FIELDS.size + 4096

    def __init__(self, root: Path) -> None:
        """Faults of calls below a folder, none for now."""
        self.path = Path(os.environ[STATE])
        with self.path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), self.SIZE)
        name = os.fsencode(root.resolve())
        self._map[self.FIELDS.size : self.FIELDS.size + len(name) + 1] = name + b"\0"

    def arm(self, kind: Kind, at: int) -> None:
        """Let a fault strike the so-manieth of its calls from now on."""
        self._set(1, kind.calls, kind.action, kind.error, at, 0, 0, 0)

    def count(self) -> None:
        """Note calls from now on: see `disarm`."""
        self.log.write_bytes(b"")
        self._set(1, -1, 0, 0, -1, 0, 0, 1)

    def disarm(self) -> bool:
        """End faults and notes; returns whether a fault has struck."""
        struck = bool(self.FIELDS.unpack(self._map[: self.FIELDS.size])[6])
        self._set(0, 0, 0, 0, -1, 0, 0, 0)
        return struck

    def calls(self) -> list[Call]:
        """Calls that were noted."""
        lines = [line.split("\t") for line in os.fsdecode(self.log.read_bytes()).splitlines()]
        return [Call(int(does), int(pid), *rest) for does, pid, *rest in lines]

    @property
    def log(self) -> Path:
        """File of the calls that were noted."""
        return self.path.with_name(f"{self.path.name}.log")

    def _set(self, *fields: int) -> None:
        self._map[: self.FIELDS.size] = self.FIELDS.pack(*fields)


def preloaded(folder: Path, library: Path) -> dict[str, str]:
    """Environment of a process that can be struck."""
    state = folder / "state"
    state.write_bytes(bytes(Faults.SIZE))
    return {**os.environ, "LD_PRELOAD": str(library), STATE: str(state)}
