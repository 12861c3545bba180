"""Claims on cells, so that any number of processes on any number of hosts do each cell once.

A claim is a small file `<root>/claims/<key>.lock` that its holder touches every few seconds, made by
`filelock.SoftFileLease`: it relies on nothing but exclusive creation, so it works on network folders; it
expires when it was not touched for `LEASE` seconds of the observer's own monotonic clock, so clocks that
differ or go backwards do no harm; and that of a dead process on this host is taken at once. A lease is no
proof that one works alone: a holder that was stopped for longer than that and goes on finds at the end that
another record is there (`Store.write` with `seen`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import SoftFileLease, Timeout

from bench.core.errors import UserError

LEASE = 60.0
"""Seconds after which a claim that nobody touches is anybody's; the same for all who share a folder."""


class Leases:
    """The claims of one process on the cells of a results folder."""

    def __init__(self, root: Path, lease: float = LEASE) -> None:
        self.folder = root / "claims"
        self._lease = lease
        # Kept while they are contended for: an expiry is seen by who looks twice.
        self._known: dict[str, SoftFileLease] = {}

    def take(self, key: str) -> bool:
        """Claim a cell; False while another process has it.

        Raises:
            UserError: the folder cannot be written.
        """
        lease = self._known.get(key)
        if lease is None:
            lease = self._known[key] = SoftFileLease(
                self.folder / f"{key}.lock", lease_duration=self._lease, thread_local=False
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lease.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise UserError(f"cannot claim cells in '{self.folder}': {error.strerror or error}") from None
        return True

    def release(self, key: str) -> None:
        """Give a claim back; nothing happens where it is not ours any more."""
        lease = self._known.pop(key, None)
        if lease is not None:
            with contextlib.suppress(OSError):
                lease.release(force=True)

    @contextlib.contextmanager
    def holding(self, key: str) -> Iterator[bool]:
        """Whether the block has the claim."""
        held = self.take(key)
        try:
            yield held
        finally:
            if held:
                self.release(key)

    def others(self) -> list[str]:
        """Cells that somebody else works on; claims of dead processes of this host are removed."""
        found = []
        for path in sorted(self.folder.glob("*.lock")):
            with self.holding(path.stem) as held:
                if not held:
                    found.append(path.stem)
        return found
