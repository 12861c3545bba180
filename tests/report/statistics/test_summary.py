from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.statistics.summary import (
    difference,
    mean_accuracy,
    negative_transfer,
    seed_deviation,
    shared,
)
from tests.report import synthetic


def of(frame, method):
    return frame[frame["method"] == method]


def test_means_go_over_the_cells_that_all_share(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a", seed=0), 20)
    synthetic.write(store, synthetic.cell("a", seed=1), 40)
    synthetic.write(store, synthetic.cell("b", seed=0), 10)
    cells = shared(load_frame(store))
    assert len(cells) == 2
    assert mean_accuracy(of(cells, "a"))[0] == 50.0
    assert mean_accuracy(of(cells, "b"))[0] == 25.0


def test_failed_cells_do_not_shrink_what_others_share(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a"), 20)
    store.write(synthetic.record(synthetic.cell("b"), "failed", "diverged"), {})
    assert list(shared(load_frame(store))["method"]) == ["a"]


def test_a_gain_is_paired_by_question_and_seed(store: Store) -> None:
    for seed, (mine, base) in enumerate([(24, 20), (20, 10), (40, None)]):
        synthetic.write(store, synthetic.cell("a", seed=seed), mine)
        if base is not None:
            synthetic.write(store, synthetic.cell("base", seed=seed), base)
    frame = load_frame(store)
    gain = difference(of(frame, "a"), of(frame, "base"))
    assert (gain.points, gain.cells) == (17.5, 2)
    assert gain.interval.low < 17.5 < gain.interval.high
    assert not gain.clear, "two runs that gained 10 and 25 points do not say what a third would"
    assert not gain.lower


def test_a_gain_that_every_run_shows_is_clear(store: Store) -> None:
    for seed, right in enumerate((28, 29, 27)):
        synthetic.write(store, synthetic.cell("a", seed=seed), right)
        synthetic.write(store, synthetic.cell("base", seed=seed), 10)
    frame = load_frame(store)
    assert difference(of(frame, "a"), of(frame, "base")).clear


def test_nothing_to_pair_is_said(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a", seed=0), 20)
    synthetic.write(store, synthetic.cell("base", seed=1), 20)
    frame = load_frame(store)
    gain = difference(of(frame, "a"), of(frame, "base"))
    assert (gain.points, gain.interval, gain.cells, gain.clear, gain.lower) == (None, None, 0, False, False)


def test_seed_deviation(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a", seed=0), 20)
    assert seed_deviation(load_frame(store)) is None
    synthetic.write(store, synthetic.cell("a", seed=1), 24)
    # means of 50 and 60 %: standard deviation 10 / √2
    assert seed_deviation(load_frame(store)) == pytest.approx(10 / 2**0.5)


def test_negative_transfer_against_the_same_method_without_a_source(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a", "photo", "sketch", 5), 10)
    synthetic.write(store, synthetic.cell("a", "art", "sketch", 5), 30)
    synthetic.write(store, synthetic.cell("a", None, "sketch", 5), 20)
    synthetic.write(store, synthetic.cell("b", None, "sketch", 5), 40)
    synthetic.write(store, synthetic.cell("b", None, "sketch", "all"), 40)
    table = negative_transfer(load_frame(store), "b").set_index("pair")
    assert table.loc["photo → sketch", "points"] == -25.0
    assert table.loc["art → sketch", "points"] == 25.0
    assert table["negative"].to_dict() == {"photo → sketch": True, "art → sketch": False}
    assert table.loc["photo → sketch", "clear"]
    assert table.loc["photo → sketch", "high"] < 0.0


def test_negative_transfer_at_zero_shots_is_against_the_source_alone(store: Store) -> None:
    synthetic.fill(store, {"source-only": 20, "dann": 16}, shots=[0])
    table = negative_transfer(load_frame(store), "source-only")
    assert set(table["method"]) == {"dann"}
    assert table["points"].tolist() == [-10.0, -10.0]
    assert table["negative"].all()


def test_negative_transfer_that_cannot_be_judged(store: Store) -> None:
    synthetic.write(store, synthetic.cell("a", "photo", "sketch", 5), 10)
    synthetic.write(store, synthetic.cell("a", None, "sketch", 1), 20)
    (row,) = negative_transfer(load_frame(store), "b").to_dict("records")
    assert (row["cells"], row["negative"], row["clear"]) == (0, False, False)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rights=st.lists(st.integers(0, 40), min_size=2, max_size=4), random=st.randoms())
def test_the_order_of_rows_does_not_matter(tmp_path_factory, rights, random) -> None:
    store = Store(tmp_path_factory.mktemp("results"))
    for seed, right in enumerate(rights):
        synthetic.write(store, synthetic.cell("a", seed=seed), right)
        synthetic.write(store, synthetic.cell("b", seed=seed), 40 - right)
    frame = load_frame(store)
    mixed = frame.sample(frac=1, random_state=random.randrange(2**31))
    one, other = (difference(of(rows, "a"), of(rows, "b")) for rows in (frame, mixed))
    assert one.points == pytest.approx(sum(5.0 * r - 100 for r in rights) / len(rights))
    assert one.points == pytest.approx(other.points)
    if one.interval is not None:
        assert one.interval == pytest.approx(other.interval, abs=1e-3)
        assert one.interval.low - 1e-3 <= one.points <= one.interval.high + 1e-3
