"""Union-find: sets united where they overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T", bound=Any)


def unite(sets: Iterable[Sequence[T]]) -> dict[T, T]:
    """Unite overlapping sets: each member -> the lowest member of all that it is linked to."""
    parent: dict[T, T] = {}

    def find(item: T) -> T:
        while parent[item] != item:
            parent[item] = item = parent[parent[item]]
        return item

    for members in sets:
        for member in members:
            parent.setdefault(member, member)
        for other in members[1:]:
            low, high = sorted((find(members[0]), find(other)))
            parent[high] = low
    return {item: find(item) for item in parent}
