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
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import SoftFileLease, Timeout

from bench.core.errors import UserError

LEASE = 60.0
"""Seconds without a touch after which a lease is free; the same for all processes that share a folder."""
HALF_WRITTEN = 2.0
"""Seconds after which a lease without content is free: its process was killed before it wrote any."""
MOMENT = 2.5
"""Seconds that maintenance waits for a lease; more than `HALF_WRITTEN`."""
FOLDER, OLD_FOLDER = "leases", "claims"
"""Names in the results folder; earlier versions of the program use the old one."""


class Leases:
    """Leases of one process on the cells of a results folder."""

    def __init__(self, root: Path, lease: float = LEASE, folder: str = FOLDER) -> None:
        self.folder = root / folder
        self._lease = lease
        # Kept while they are contended for: to see an expiry takes a second attempt.
        self._leases: dict[str, SoftFileLease] = {}
        self._empty: dict[str, tuple[int, float]] = {}
        """Leases without content: their inode, and when they were seen first."""

    def take(self, key: str, wait: float = 0.0) -> bool:
        """Take the lease of a cell; False if another process holds it for `wait` seconds at least.

        Raises:
            UserError: the folder cannot be written.
        """
        until = time.monotonic() + wait
        while not self._take(key):
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
        return True

    def _take(self, key: str) -> bool:
        lease = self._leases.get(key)
        if lease is None:
            lease = self._leases[key] = SoftFileLease(
                self.folder / f"{key}.lock", lease_duration=self._lease, thread_local=False
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lease.acquire(blocking=False)
        except Timeout:
            self._remove_half_written(key)
            return False
        except OSError as error:
            raise UserError(f"cannot lease cells in '{self.folder}': {error.strerror or error}") from None
        return True

    def _remove_half_written(self, key: str) -> None:
        """Remove a lease that has stayed without content, which filelock takes for one of a live process."""
        path = self.folder / f"{key}.lock"
        with contextlib.suppress(OSError):
            status = path.stat()
            inode, since = self._empty.setdefault(key, (status.st_ino, time.monotonic()))
            if status.st_size or inode != status.st_ino:
                del self._empty[key]
            elif time.monotonic() - since > HALF_WRITTEN:
                path.unlink()

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
        keys = sorted(path.stem for path in self.folder.glob("*.lock"))
        until = time.monotonic() + MOMENT
        while keys := [key for key in keys if not self._is_free(key)]:
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        return keys

    def _is_free(self, key: str) -> bool:
        free = self.take(key)
        if free:
            self.release(key)
        return free
