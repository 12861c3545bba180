"""Arrays of domains that are made once, and listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from bench.core.digest import code_digest, combine
from bench.core.packages import NotHere
from bench.data.sources import layouts
from bench.data.sources.base import Absent, Listing
from bench.data.sources.item import Item
from bench.data.sources.library import KeptPart, keep_array, kept_part

Labelled = tuple[np.ndarray, list[int]]
"""Items (N, ...), and the numbers of their classes."""


def kept_listing(
    title: str,
    key: str,
    domains: Iterable[str],
    make: Callable[[str], Labelled],
    items: Callable[[str, KeptPart], list[Item]],
) -> Listing:
    """List domains whose arrays are found in the cache by a key, or made.

    Raises:
        Absent: what they are made of is not here.
    """

    def keep(domain: str, read: bool = False) -> KeptPart:
        code = code_digest("data/sources/tabular/*.py")
        part = combine(key, domain, code)
        return kept_part(part, lambda array: keep_array(array, *make(domain), []), read, KeptPart)

    try:
        kept = {domain: keep(domain) for domain in domains}
    except NotHere as reason:
        raise Absent(str(reason)) from None
    found = {domain: items(domain, part) for domain, part in kept.items()}

    def whole() -> layouts.Items:
        for domain in kept:
            keep(domain, read=True)
        return found

    return Listing(title, combine(key, layouts.digest_of(found)), whole)
