"""Faults of input and output at the N-th call below a folder, over a tree of processes: see `faults.c`."""

from __future__ import annotations

import errno
import json
import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.support.checkout import ROOT

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
    "became read-only": Kind(CHANGE, FAIL | STAY, errno.EROFS),
    "stale handle": Kind(CHANGE | CLOSE | READ, FAIL, errno.ESTALE),
}
"""`once`: the call after it succeeds. A full disk takes half of what is written last, and lets files go."""


class Call(NamedTuple):
    """Call that can be struck, as a counting run saw it."""

    does: int
    pid: int
    name: str
    path: str
    to: str


def build(folder: Path) -> Path:
    """Compile the library that is preloaded."""
    library = folder / "faults.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    return library


@dataclass
class Row:
    """What came of one command under one kind of faults."""

    verb: str
    kind: str
    calls: int
    """Calls that could be struck."""
    points: int = 0
    """Calls that were struck, each in a run of its own."""
    harms: dict[str, int] = field(default_factory=dict)
    """Points after which something is wrong, by what."""
    examples: list[str] = field(default_factory=list)


class Faults:
    """The faults of this process and those that it starts, in one that `strike` has started."""

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
        """Let a fault strike the so-manieth of its calls from now on, which is noted."""
        self.log.write_bytes(b"")
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


def strike(folder: Path, verbs: Sequence[str], points: int | None) -> Iterator[Row]:
    """Strike commands at each of their calls, or at so many of each kind; see `tests.torture.trials`.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state, library = folder / "state", build(folder)
    state.write_bytes(bytes(Faults.SIZE))
    command = [sys.executable, "-m", "tests.torture.trials", *verbs]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "LD_PRELOAD": str(library), STATE: str(state)}
    with subprocess.Popen(
        [*command, *(["--points", str(points)] if points else [])], cwd=ROOT, env=env, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Row(**json.loads(line))
    assert process.returncode == 0, f"{' '.join(command)} ended with exit code {process.returncode}"
