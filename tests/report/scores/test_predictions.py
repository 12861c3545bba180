from __future__ import annotations

import numpy as np
import pytest

from bench.report.scores.predictions import Unusable, classified, score
from tests.report.synthetic import predictions


def test_scores_the_evaluation_of_each_rule() -> None:
    scored = score(predictions({0: range(10), 1: range(20)}), {"last": 1, "oracle": 0})
    assert scored.accuracy("last") == 50.0
    assert scored.accuracy("oracle") == 25.0
    assert np.isnan(scored.accuracy("source-val"))
    assert scored.undecided == 0


def test_logits_without_a_finite_maximum_count_as_wrong() -> None:
    logits = np.array(
        [[np.nan, 1, 0], [np.inf, 0, 0], [-np.inf, 2, 0], [-np.inf] * 3, [3, 0, 0]], dtype=np.float16
    )
    correct, undecided = classified(logits, np.array([0, 0, 1, 0, 0]))
    assert correct.tolist() == [False, False, True, False, True]
    assert undecided.tolist() == [True, True, False, True, False]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda a: a.pop("target-test/labels"), "lack"),
        (lambda a: a.update({"target-test/groups": np.zeros(3, np.int32)}), "do not belong together"),
        (lambda a: a.update({"look1/target-test/logits": np.zeros((3, 4), np.float16)}), "do not belong"),
        (lambda a: a.update({"look1/target-test/logits": np.zeros((40, 2), np.float16)}), "do not belong"),
        (lambda a: a.update({"look1/target-test/logits": np.zeros(40, np.float16)}), "do not belong"),
    ],
)
def test_arrays_that_cannot_be_scored_say_why(change, why) -> None:
    arrays = predictions({1: range(20)})
    change(arrays)
    with pytest.raises(Unusable, match=why):
        score(arrays, {"last": 1})


def test_no_test_images() -> None:
    with pytest.raises(Unusable, match="no test images"):
        score({"target-test/labels": np.zeros(0, np.int16), "target-test/groups": np.zeros(0, np.int32)}, {})
