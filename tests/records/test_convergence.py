from __future__ import annotations

import pytest

from bench.records.convergence import converged
from bench.records.record import Evaluation


def run(
    losses: list[float | None], scores: list[float] | None = None, stage: str = "source"
) -> list[Evaluation]:
    return [
        Evaluation(
            stage=stage,
            step=place + 1,
            train_loss=loss,
            accuracy={"target-test": 0.5, **({"source-validation": scores[place]} if scores else {})},
        )
        for place, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("losses", "scores", "said"),
    [
        ([2.0, 1.0, 0.94], None, False),
        ([2.0, 1.0, 0.96], None, True),
        ([2.0, 1.0, 1.5], None, True),
        ([2.0, 1.0, 0.96], [0.5, 0.6, 0.63], False),
        ([2.0, 1.0, 0.96], [0.5, 0.6, 0.61], True),
        ([2.0, 1.0, 0.96], [0.5, 0.62, 0.6], True),
        ([2.0, 1.0], None, None),
        ([2.0, 1.0], [0.5, 0.6], False),
        ([2.0, 1.0], [0.5, 0.5], None),
        ([1.0], None, None),
        ([None], [0.5], None),
    ],
)
def test_the_rule_by_hand(losses: list[float | None], scores: list[float] | None, said: bool | None) -> None:
    assert converged(run(losses, scores)) is said


def test_the_last_stage_decides() -> None:
    still = run([2.0, 1.0, 0.5], stage="source")
    assert converged([*still, *run([0.3, 0.2, 0.2], stage="target")]) is True


def test_what_a_cell_is_judged_by_is_what_rises() -> None:
    """Accuracy of few positives stands still while AUC rises, and the other way round."""
    losses, flat, rising = [2.0, 1.0, 0.96], [0.9, 0.9, 0.9], [0.6, 0.7, 0.8]

    def judged(accuracy: list[float], auc: list[float | None]) -> bool | None:
        evaluations = run(losses, accuracy)
        return converged(
            [
                each.model_copy(update={"metric": {"source-validation": value}})
                for each, value in zip(evaluations, auc, strict=True)
            ]
        )

    assert judged(flat, rising) is False
    assert judged(rising, flat) is True
    assert judged(rising, [None, None, None]) is True, "undefined: the loss alone decides"
