"""Standard streams that never stand in the way of the work: of any encoding, closed, midway too, or full."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any

GONE = frozenset({errno.EPIPE, errno.EIO})
"""Errors of writing to where nobody reads any more: a pipe that was closed, a terminal that is gone."""


class _Lossy(io.FileIO):
    """File that takes what is written to it after its reader has gone, or its disk failed, and drops it."""

    fault: OSError | None = None
    """Error of a disk that did not take what was written."""

    def write(self, content: Any, /) -> int:
        """Write; once nobody reads, or it fails, everything goes nowhere, that of children too."""
        try:
            while (written := super().write(content)) is None:
                # The other side does not want to be waited for, as of a pipe that is full.
                select.select([], [self.fileno()], [])
            return written
        except OSError as error:
            if error.errno not in GONE:
                self.fault = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(content)


def use_lasting_streams() -> None:
    """Make standard output and error accept any text, and go on where nobody reads them (any more).

    Of `bench run | head -1` the cells, the report and the exit code are the same as without `| head -1`.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Else the next file that is opened would have this number, and be written to by mistake.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _lasting(sys.stdout, sys.__stdout__)
    sys.stderr = _lasting(sys.stderr, sys.__stderr__)


def lost_output() -> OSError | None:
    """Flush standard output; returns why a part of it could not be written, None where all was."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _Lossy):
        return None  # none, or somebody else's
    sys.stdout.flush()
    return raw.fault


def _lasting(stream: Any, original: Any) -> Any:
    if stream is None or stream is not original:
        return stream  # none, or somebody else's, who catches what is printed
    return io.TextIOWrapper(
        io.BufferedWriter(_Lossy(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
