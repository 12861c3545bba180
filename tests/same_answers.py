"""Bit-equality of two results folders: `python -m tests.same_answers BEFORE AFTER`.

Both may be of any schema that can be read. For a change that must not move a number: run a suite by the
program before it and by the program after it, with as many threads, into a folder each.
"""

from __future__ import annotations

import sys

from bench.records.baselines import open_results
from bench.records.store import Store


def differences(before: Store, after: Store) -> list[str]:
    """Cells that only one folder has, end otherwise, or predict otherwise: a line each."""
    first, second = ({record.key: record for record in store.records()} for store in (before, after))
    found = [f"{key}: only in one of them" for key in sorted(first.keys() ^ second.keys())]
    for key in sorted(first.keys() & second.keys()):
        a, b = first[key], second[key]
        arrays, others = before.predictions(a), after.predictions(b)
        if a.outcome.status != b.outcome.status:
            found.append(f"{key}: {a.outcome.status}, then {b.outcome.status}")
        elif arrays.keys() != others.keys():
            found.append(f"{key}: other arrays")
        elif any(
            (arrays[n].dtype, arrays[n].tobytes()) != (others[n].dtype, others[n].tobytes()) for n in arrays
        ):
            found.append(f"{key}: other predictions")
        elif a.evaluations != b.evaluations:
            found.append(f"{key}: other evaluations")
    return found


def main(before: str, after: str) -> int:
    """Print what differs; exit code 1 where something does."""
    stores = open_results(before), open_results(after)
    found = differences(*stores)
    print("\n".join(found) or f"{len(stores[0].keys())} cells: keys and predictions are equal bit for bit")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
