"""What every registered method keeps to; methods that are added later are tested without a change here."""

from __future__ import annotations

import ast
import dataclasses
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import GradientMethod, Model
from bench.core.errors import CellSkipped, UserError
from bench.core.seeds import stream
from bench.data.dataset import Dataset
from bench.data.splits import pooled
from bench.engine.evaluation.evaluator import Evaluator
from bench.engine.evaluation.validators import Outputs
from bench.method.bounds import bounds_of, conditions
from bench.method.registry import (
    configure,
    explicit,
    hyperparameters,
    load_method,
    method_file,
    method_modules,
    method_summary,
    preset,
)
from bench.networks.backbones.base import Backbone
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.weights import untrained
from bench.processes import memory
from bench.records.record import Predictions, Record
from bench.spec.cell import Cell, Recipe
from bench.spec.matrix.suite import PRESETS
from tests.support.cells import TINY, answer, assert_equal, steps_of, tiny_cell, usual_shots

METHODS = sorted(method_modules())

SCENARIOS = {
    "few-shot": {"shots": 2},
    "unsupervised": {"shots": 0},
    "pretrained": {"source": None, "shots": 2},
    "new-classes": {"kind": "cross-domain-task", "shots": 2},
    "several sources": {"kind": "multi-source", "source": ("apple", "google"), "shots": 0},
}


@dataclass(frozen=True)
class Answers:
    """Answers to cells, each given once: with a folder of artifacts of its own, or a shared one."""

    root: Path

    def get(self, cell: Cell, folder: str) -> tuple[Record, Predictions]:
        return _answer(self.root, cell.key, folder, _Held(cell))


@dataclass(frozen=True)
class _Held:
    cell: Cell = dataclasses.field(hash=False, compare=False)


@cache
def _answer(root: Path, key: str, folder: str, held: _Held) -> tuple[Record, Predictions]:
    return answer(held.cell, root / folder)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return Answers(tmp_path_factory.mktemp("artifacts"))


def ask(method: str, scenario: str) -> Cell:
    return tiny_cell(method, **SCENARIOS[scenario])  # type: ignore[arg-type]


def done(answers: Answers, method: str, scenario: str, folder: str) -> tuple[Record, Predictions]:
    """The answer; skips the test where the method says that it cannot do this."""
    record, predictions = answers.get(ask(method, scenario), folder)
    assert record.outcome.status != "failed", f"{record.outcome.reason}\n{record.outcome.log}"
    if record.outcome.status == "skipped":
        assert len(record.outcome.reason) > len(method), "a skipped cell says why"
        assert not predictions
        assert not record.evaluations
        pytest.skip(record.outcome.reason)
    return record, predictions


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("method", METHODS)
def test_answers_in_full(answers: Answers, emoji: Dataset, method: str, scenario: str) -> None:
    record, predictions = done(answers, method, scenario, method)
    cell = ask(method, scenario)

    assert Record.model_validate_json(record.model_dump_json()) == record
    assert record.key == cell.key
    assert record.request.cell == cell
    assert record.hyperparameters == hyperparameters(configure(method, {}))
    assert record.evaluations
    assert record.selected["last"] == len(record.evaluations) - 1
    assert record.selected["oracle"] in range(len(record.evaluations))
    without_labels = "adapt" if load_method(method).adapts else "source"
    assert {look.stage for look in record.evaluations} == {
        without_labels if cell.scenario.shots == 0 else "target"
    }
    assert record.cost.items_seen > 0
    assert record.cost.parameters > 0
    assert 0 < record.cost.parameters_trained <= record.cost.parameters + 10_000_000
    assert record.cost.peak_memory_bytes

    target, source = cell.scenario.target_classes, cell.scenario.source_classes
    parts = {
        "target-test": (("twitter",), target, "test"),
        "target-validation": (("twitter",), target, "validation"),
    }
    if cell.scenario.source:
        parts["source-validation"] = (cell.scenario.sources, source, "validation")
    for part, (domains, classes, split) in parts.items():
        expected = pooled(emoji, domains, classes, split)
        np.testing.assert_array_equal(predictions[f"{part}/labels"], expected.labels)
        np.testing.assert_array_equal(predictions[f"{part}/groups"], expected.groups)
        np.testing.assert_array_equal(predictions[f"{part}/items"], expected.rows)
        if part == "source-validation":  # Its accuracy and loss are in the looks.
            assert not [name for name in predictions if name.endswith("source-validation/logits")]
            continue
        for place in set(record.selected.values()):
            if part != "target-test" and place != record.selected[record.request.cell.headline]:
                assert f"look{place}/{part}/logits" not in predictions
                continue
            logits = predictions[f"look{place}/{part}/logits"]
            assert logits.shape == (len(expected), len(classes))
            assert logits.dtype == np.float16
            assert np.isfinite(logits).all()
    for place in set(record.selected.values()):
        scores, labels = predictions[f"look{place}/target-test/logits"], predictions["target-test/labels"]
        hits = sum(int(row.argmax()) == label for row, label in zip(scores, labels, strict=True))
        assert record.evaluations[place].accuracy["target-test"] == pytest.approx(hits / len(labels))


@pytest.mark.parametrize("method", METHODS)
def test_same_cell_twice_is_bit_identical(answers: Answers, tmp_path: Path, method: str) -> None:
    first, predictions = done(answers, method, "few-shot", f"{method}-alone-few-shot")
    torch.manual_seed(torch.initial_seed() + 1)  # What the process did before is of no consequence.
    np.random.seed(99)
    run = steps_of(ask(method, "few-shot"), tmp_path)
    assert_equal(predictions, run.run())
    assert run.evaluations == first.evaluations
    assert run.details == first.details

    torch.manual_seed(stream(run.cell.seed, "init", "backbone"))
    before = create_backbone(TINY if run.method.pretrained else untrained(TINY))
    if run.method.split_point(before) is not None:  # What is frozen stays as it was, batch norm too.
        after = run.backbone.state_dict()
        for key, tensor in before.state_dict().items():
            torch.testing.assert_close(after[key], tensor, rtol=0, atol=0, msg=key)


@pytest.mark.parametrize("method", METHODS)
def test_predicting_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Held-out images pass through `predict` alone, which must leave no trace in what is trained."""
    run = steps_of(ask(method, "few-shot"), tmp_path)
    changed: list[str] = []
    evaluate = Evaluator.outputs

    def watched(evaluations: Evaluator, model: Model, *images: Any) -> Outputs:
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        found = evaluate(evaluations, model, *images)
        changed.extend(n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n]))
        return found

    monkeypatch.setattr(Evaluator, "outputs", watched)
    try:
        run.run()
    except CellSkipped as reason:
        pytest.skip(str(reason))
    assert run.evaluations
    assert not changed


WHOLE = ("begin", "fit", "finish", "on_validation", "refresh", "stream", "updates")
"""Verbs that may look at a whole batch, or at all items."""


@pytest.mark.parametrize("method", METHODS)
def test_little_memory_is_a_smaller_batch_or_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A network that holds nine images at once: parts of a batch are summed, or the way out is named."""
    forward = Backbone.forward

    def little(backbone: Backbone, x: torch.Tensor, *more: Any) -> torch.Tensor:
        if len(x) > 9:
            raise torch.OutOfMemoryError("tried to allocate 2.00 GiB")
        return forward(backbone, x, *more)

    monkeypatch.setattr(Backbone, "forward", little)
    # There is no memory to free, and to look for it takes longer than the rest.
    monkeypatch.setattr(memory, "free", lambda: None)
    record, _ = answer(tiny_cell(method, shots=usual_shots(method)), tmp_path)
    if record.outcome.status == "failed":
        assert re.fullmatch(r"out of memory.*: use a smaller (batch|image)_size.*", record.outcome.reason)
        cls = load_method(method)
        whole = any(getattr(cls, verb) is not getattr(GradientMethod, verb) for verb in WHOLE)
        assert whole or not cls.per_sample_loss


@pytest.mark.parametrize("scenario", ["few-shot", "unsupervised"])
@pytest.mark.parametrize("method", METHODS)
def test_sharing_changes_nothing(answers: Answers, method: str, scenario: str) -> None:
    """`method` is the folder that every scenario above shares; the other folder is this cell's alone."""
    for other in SCENARIOS:
        answers.get(ask(method, other), method)
    shared, predictions = done(answers, method, scenario, method)
    alone, expected = done(answers, method, scenario, f"{method}-alone-{scenario}")
    assert shared.evaluations == alone.evaluations
    assert_equal(predictions, expected)
    assert shared.cost.items_seen == alone.cost.items_seen
    assert shared.cost.parameters_trained == alone.cost.parameters_trained


@pytest.mark.parametrize("scenario", ["few-shot", "unsupervised"])
@pytest.mark.parametrize("method", [name for name in METHODS if load_method(name).starts_from])
def test_the_source_stage_of_another_method_serves(answers: Answers, method: str, scenario: str) -> None:
    start = load_method(method).starts_from
    answers.get(ask(start, scenario), f"{start}-for-{method}")
    record, predictions = done(answers, method, scenario, f"{start}-for-{method}")
    assert record.cost.stages["source"].shared_seconds > 0, "it was found, not made"
    alone, expected = done(answers, method, scenario, f"{method}-alone-{scenario}")
    assert alone.cost.stages["source"].seconds > 0
    assert record.evaluations == alone.evaluations
    assert_equal(predictions, expected)
    # Files are read, classes are not, where digests are made.
    assert re.search(rf'^    starts_from = "{start}"$', method_file(method).read_text(), re.MULTILINE)


@pytest.mark.parametrize("method", METHODS)
def test_a_control_is_another_question(method: str) -> None:
    """The same recipe without the idea: hyperparameters that turn it off, or another method."""
    match load_method(method).control:
        case str(other):
            assert other in METHODS
            assert other != method
        case dict(values):
            assert values
            assert explicit(method, values) == dict(sorted(values.items())), "none of them is the default"


@pytest.mark.parametrize("method", METHODS)
def test_presets_are_other_values_of_hyperparameters(method: str) -> None:
    """Than the defaults: a rate may be the usual one, where suites' recipes have another."""
    recipe = Recipe(learning_rate=0.5, weight_decay=0.5)
    for name, values in load_method(method).presets.items():
        assert name in PRESETS
        assert explicit(method, values, recipe) == dict(sorted(values.items())), "none is the default"
        assert preset(method, name) == values


@pytest.mark.parametrize("method", METHODS)
def test_another_seed_is_another_run(answers: Answers, method: str) -> None:
    record, predictions = done(answers, method, "few-shot", method)
    other, others = answer(tiny_cell(method, seed=4), answers.root / method)
    assert other.outcome.status == "done"
    assert other.key != record.key
    assert not np.array_equal(
        predictions[f"look{record.selected['last']}/target-test/logits"],
        others[f"look{other.selected['last']}/target-test/logits"],
    )


@pytest.mark.parametrize("method", METHODS)
def test_configuration(method: str) -> None:
    cls = load_method(method)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        assert field.default is not dataclasses.MISSING, f"{field.name} has no default"
        assert isinstance(field.default, bool | int | float | str)
        if field.metadata:
            assert field.metadata["low"] < field.metadata["high"]
            for end in ("low", "high"):
                configure(method, {field.name: field.metadata[end]})
            assert not field.metadata["log"] or field.metadata["low"] > 0
    defaults = hyperparameters(configure(method, {}))
    assert explicit(method, defaults) == {}, "its defaults, said out loud, are the same question"
    with pytest.raises(dataclasses.FrozenInstanceError):
        configure(method, {}).anything = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
def test_numbers_have_bounds(method: str) -> None:
    """Just outside of which each is refused, and on whose border it is not."""
    cls = load_method(method)
    declared = {name for base in cls.__mro__ for name in vars(base).get("bounds", {})}
    bounds = bounds_of(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if isinstance(field.default, bool | str):
            continue
        assert field.name in declared | bounds.keys(), f"{field.name}: say in `bounds` which numbers it takes"
        step = 1 if isinstance(field.default, int) else 1e-6
        for sign, limit in conditions(bounds.get(field.name, "")):
            kind = type(field.default)
            inside = limit if "=" in sign else limit + (step if sign == ">" else -step)
            assert explicit(method, {field.name: kind(inside)}) in ({field.name: inside}, {})
            outside = limit if "=" not in sign else limit - (step if sign == ">=" else -step)
            said = re.escape(
                f"{method}.{field.name}: a number {bounds[field.name].replace(', ', ' and ')}, not "
            )
            with pytest.raises(UserError, match=rf"^{said}\S+$"):
                explicit(method, {field.name: kind(outside)})


@pytest.mark.parametrize("method", METHODS)
def test_opens_with_its_paper(method: str) -> None:
    tree = ast.parse(method_file(method).read_text(encoding="utf-8"))
    text = ast.get_docstring(tree) or ""
    assert re.search(r"https://(arxiv\.org|doi\.org|proceedings|openreview|www\.|[a-z.]+/)\S+", text)
    assert re.search(r"\b(19|20)\d\d\b", text), "a year"
    assert method_summary(method) == text.split("\n")[0]
    assert load_method(method).__doc__
    assert load_method(method).__module__ == method_modules()[method]
