"""Words for the items and the metric of results."""

from __future__ import annotations

import pytest

from bench.report.scores.supervision import Supervision
from bench.report.scores.words import Words
from tests.report import synthetic


@pytest.mark.parametrize(
    ("modalities", "metrics", "text"),
    [
        (["image"], ["accuracy"], "Accuracy of an image: most accurate of all images"),
        (["table"], ["auc"], "AUC of a row: highest AUC of all rows"),
        (
            ["text"],
            ["balanced-accuracy"],
            "Balanced accuracy of a text: highest balanced accuracy of all texts",
        ),
        (["audio", "text"], ["auc", "accuracy"], "Score of an item: highest score of all items"),
        ([], [], "Accuracy of an image: most accurate of all images"),
    ],
)
def test_words_go_by_modality_and_metric(modalities: list[str], metrics: list[str], text: str) -> None:
    words = Words.of(modalities, metrics)
    assert words.fill(f"{{Metric}} of {words.an_item}: {{most}} of all {{items}}") == text


def test_a_question_is_the_same_in_other_words() -> None:
    """Tables are made by what is asked: words are no part of it."""
    images, texts = (Supervision.of(synthetic.cell(modality=name)) for name in ("image", "text"))
    assert images == texts
    assert images.title == "5 labelled target images per class"
    assert texts.title == "5 labelled target texts per class"
