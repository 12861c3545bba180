"""Connected components: sets united where they overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T", bound=Any)


def unite(sets: Iterable[Sequence[T]]) -> dict[T, T]:
    """Unite overlapping sets: each member -> the lowest member of all that it is linked to."""
    from scipy.sparse import coo_array  # slow to import, and only needed where images are listed anew
    from scipy.sparse.csgraph import connected_components

    linked = list(sets)
    members = sorted(set(chain.from_iterable(linked)))
    place = {member: number for number, member in enumerate(members)}
    rows = [place[group[0]] for group in linked for _ in group]
    columns = [place[member] for group in linked for member in group]
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(members), len(members)))
    _, component = connected_components(graph, directed=False)
    _, lowest = np.unique(component, return_index=True)
    return {member: members[lowest[number]] for member, number in zip(members, component, strict=True)}
