"""Files that are written atomically take the place of files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.files import write_atomically


def test_devices_stay() -> None:
    """As with `--out /dev/stdout` of root, whose folder can be written."""
    path = Path("/dev/transfer-bench-test")
    try:
        with pytest.raises(OSError, match="a device is no place for a file"):
            write_atomically(path, b"page")
    finally:
        path.unlink(missing_ok=True)
