"""Order of writes to the disk: what a loss of power could undo, read from the calls of a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.torture.faults import Call


def unordered(calls: Sequence[Call], place: Path) -> list[str]:
    """Names that were given before their content was flushed, or never flushed themselves; caches aside.

    Rules: a file is flushed before it is renamed or linked to a name that can be seen; the folder is flushed
    before another name in it is removed, and before the command ends.
    """
    dirty: set[str] = set()
    names: dict[str, set[str]] = {}
    found = []
    for call in calls:
        path = call.path
        match call.name:
            case "write" | "ftruncate" | "msync":
                dirty.add(path)
            case "fsync" | "fdatasync":
                dirty.discard(path)
                names.pop(path, None)
            case "rename" | "link":
                if path in dirty and visible(call.to, place):
                    found.append(f"{call.to} is named before its content is flushed")
                if path in dirty:
                    dirty.discard(path)
                    dirty.add(call.to)
                if visible(call.to, place):
                    names.setdefault(str(Path(call.to).parent), set()).add(call.to)
            case "unlink":
                dirty.discard(path)
                folder = str(Path(path).parent)
                if visible(path, place) and names.get(folder):
                    found.append(f"{path} goes before a name beside it is flushed")
    found += [f"{path} is not flushed" for path in sorted(dirty) if visible(path, place)]
    found += [f"{name} is a name that is not flushed" for held in names.values() for name in sorted(held)]
    return found


def visible(path: str, place: Path) -> bool:
    """Return True for a file that others read and that cannot be made again."""
    parts = Path(path).relative_to(place).parts if path.startswith(f"{place}/") else ("cache",)
    hidden = any(part.startswith(".") for part in parts) or path.endswith(".partial")
    return (
        not hidden and ".lock" not in parts[-1] and parts[0] not in ("cache", "tmp") and "leases" not in parts
    )
