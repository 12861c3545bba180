"""Leases of cells, so that any number of processes on any number of hosts compute each cell once.

A lease is a small file `<root>/leases/<key>.lock` that its holder touches every few seconds, made by
`filelock.SoftFileLease`: it relies on nothing but exclusive creation, so it works on network folders; it
expires when it was not touched for `LEASE` seconds of the observer's own monotonic clock, so clocks that
differ or go backwards do no harm; and that of a dead process on this host is taken at once. A lease is no
proof of exclusion: a holder that was stopped for longer than that and goes on finds at the end that another
record is there (`Store.write` with `seen`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import SoftFileLease, Timeout

from bench.core.errors import UserError

LEASE = 60.0
"""Seconds without a touch after which a lease is free; the same for all processes that share a folder."""
MOMENT = 0.5
"""Seconds that maintenance waits for a lease."""
FOLDER, OLD_FOLDER = "leases", "claims"
"""Names in the results folder; earlier versions of the program use the old one."""


class Leases:
    """Leases of one process on the cells of a results folder."""

    def __init__(self, root: Path, lease: float = LEASE, folder: str = FOLDER) -> None:
        self.folder = root / folder
        self._lease = lease
        # Kept while they are contended for: to see an expiry takes a second attempt.
        self._leases: dict[str, SoftFileLease] = {}

    def take(self, key: str, wait: float = 0.0) -> bool:
        """Take the lease of a cell; False while another process holds it, for `wait` seconds at least.

        Raises:
            UserError: the folder cannot be written.
        """
        lease = self._leases.get(key)
        if lease is None:
            lease = self._leases[key] = SoftFileLease(
                self.folder / f"{key}.lock", lease_duration=self._lease, thread_local=False
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lease.acquire(timeout=wait)
        except Timeout:
            return False
        except OSError as error:
            raise UserError(f"cannot lease cells in '{self.folder}': {error.strerror or error}") from None
        return True

    def release(self, key: str) -> None:
        """Release a lease; without effect where this process does not hold it any more."""
        lease = self._leases.pop(key, None)
        if lease is not None:
            with contextlib.suppress(OSError):
                lease.release(force=True)

    @contextlib.contextmanager
    def holding(self, key: str) -> Iterator[bool]:
        """Hold the lease of a cell during the block; gives False while another process works on the cell.

        Maintenance holds leases like this, for moments, so that these are waited for.
        """
        held = self.take(key, MOMENT)
        try:
            yield held
        finally:
            if held:
                self.release(key)

    def others(self) -> list[str]:
        """List the cells that other processes hold; leases of dead processes of this host are removed."""
        keys = []
        for path in sorted(self.folder.glob("*.lock")):
            if self.take(path.stem):
                self.release(path.stem)
            else:
                keys.append(path.stem)
        return keys
