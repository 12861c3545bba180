from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bench.core.seeds import stream

SEEDS = st.integers(0, 2**63)
PURPOSES = st.lists(st.one_of(st.text(st.characters(exclude_characters="\0")), st.integers()), max_size=3)


@given(SEEDS, PURPOSES)
def test_a_seed_that_every_generator_takes(seed: int, purpose: list[str | int]) -> None:
    value = stream(seed, *purpose)
    assert 0 <= value < 2**63
    assert value == stream(seed, *purpose)


@given(SEEDS, SEEDS, PURPOSES, PURPOSES)
def test_other_purposes_and_seeds_get_others(
    a: int, b: int, one: list[str | int], two: list[str | int]
) -> None:
    same = (a, [str(part) for part in one]) == (b, [str(part) for part in two])
    assert (stream(a, *one) == stream(b, *two)) == same


def test_neighbours_are_unrelated() -> None:
    """Of 2,000 neighbouring seeds each bit is set about half the time (five standard deviations: 112)."""
    values = [stream(seed, "init") for seed in range(2000)]
    assert len(set(values)) == 2000
    for bit in range(63):
        assert 888 < sum(value >> bit & 1 for value in values) < 1112


def test_the_same_in_every_process() -> None:
    """Python's own `hash` differs from process to process."""
    code = "from bench.core.seeds import stream; print(stream(7, 'feed', 3))"
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={"PYTHONHASHSEED": "123"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(out.stdout) == stream(7, "feed", 3)
