from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.method.registry import (
    configure,
    explicit,
    hyperparameters,
    load_method,
    method_digest,
    method_file,
    method_modules,
    method_summary,
)
from tests.support.cells import answer, digests, tiny_cell
from tests.support.checkout import install

ROOT = Path(__file__).parents[2]


def test_a_file_is_a_method() -> None:
    files = {path.stem for path in (ROOT / "methods").glob("*.py")} - {"__init__"}
    names = {name for name, module in method_modules().items() if module.startswith("bench.methods.")}
    assert names == {stem.replace("_", "-") for stem in files}
    assert {"linear-probe", "full-finetune", "dann"} <= names


@pytest.mark.parametrize("name", sorted(method_modules()))
def test_every_method_is_found_and_said_what_it_is(name: str) -> None:
    assert method_file(name).is_file()
    assert 20 < len(method_summary(name)) < 120
    assert len(method_digest(name)) == 16


def test_unknown_method() -> None:
    with pytest.raises(UserError, match=r"unknown method 'dan': did you mean 'dann'"):
        method_file("dan")
    with pytest.raises(UserError, match="unknown method 'linear_probe'"):
        load_method("linear_probe")


def test_configure() -> None:
    method = configure("dann", {"weight": 0.5, "hidden": 8})
    values = hyperparameters(method)
    assert (values["weight"], values["hidden"]) == (0.5, 8)
    assert values.keys() == {"learning_rate", "weight_decay", "warmup", "weight", "hidden"}
    assert hyperparameters(configure("dann", {})) == {**values, "weight": 1.0, "hidden": 1024}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"wieght": 1.0}, "unknown hyperparameter of dann 'wieght': did you mean 'weight'"),
        ({"weight": "heavy"}, "dann.weight: .*number.*'heavy'"),
        ({"hidden": 1.5}, "dann.hidden: .*integer.*1.5"),
        ({"hidden": "many"}, "dann.hidden: .*integer.*'many'"),
        ({"access": 1}, "unknown hyperparameter of dann 'access'"),
    ],
)
def test_wrong_hyperparameters(overrides: dict, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        configure("dann", overrides)


def test_explicit_drops_defaults() -> None:
    assert explicit("dann", {}) == {}
    assert explicit("dann", {"weight": 1.0, "hidden": 1024}) == {}
    assert explicit("dann", {"weight": 1}) == {}
    assert explicit("dann", {"weight": 2, "hidden": 1024}) == {"weight": 2.0}
    changed = explicit("dann", {"weight": 2, "hidden": 8})
    assert changed == {"hidden": 8, "weight": 2.0}
    assert list(changed) == ["hidden", "weight"]
    assert isinstance(changed["weight"], float)


# Somebody else's methods ------------------------------------------------------------------------------

THEIRS = '''"""Nearest mean: classify by the nearest class mean of frozen features.

Somebody 2020. https://example.org/nearest-mean
"""

from __future__ import annotations

from typing import Any

import torch

from bench.api import ClosedFormMethod, Labelled, Model, Task


class NearestMean(ClosedFormMethod):
    """Logits are negative squared distances to class means, up to a constant."""

    scale: float = 1.0

    def fit(self, model: Model, labelled: Labelled, task: Task) -> dict[str, Any]:
        means = torch.stack([labelled.x[labelled.y == c].mean(0) for c in range(len(task.classes))])
        with torch.no_grad():
            model.head.weight.copy_(self.scale * means)
            model.head.bias.copy_(-self.scale * means.square().sum(1) / 2)
        return {"classes": len(means)}
'''


def test_third_party_method(site: Path, tmp_path: Path) -> None:
    install(site, "nearest-mean = someone_nearest_mean:NearestMean", someone_nearest_mean=THEIRS)
    assert method_modules()["nearest-mean"] == "someone_nearest_mean"
    assert {"linear-probe", "dann"} < method_modules().keys()
    assert method_file("nearest-mean") == site / "someone_nearest_mean.py"
    assert method_summary("nearest-mean").startswith("Nearest mean: ")
    assert load_method("nearest-mean").__name__ == "NearestMean"

    record, predictions = answer(tiny_cell("nearest-mean", overrides={"scale": 0.5}), tmp_path / "artifacts")
    assert record.outcome.status == "done", record.outcome
    assert record.hyperparameters == {"scale": 0.5}
    assert record.details["target"] == {"classes": 4}
    assert record.digests == digests("nearest-mean")
    assert predictions["look0/target-test/logits"].shape[1] == 4


def test_our_methods_cannot_be_replaced(site: Path) -> None:
    install(site, "dann = someone_dann:Dann", someone_dann=THEIRS)
    assert method_modules()["dann"] == "bench.methods.dann"


@pytest.mark.parametrize("module", ["someone_gone", "someone_gone.inside"])
def test_entry_point_without_its_module(site: Path, module: str) -> None:
    """Half uninstalled, say: that method is unusable, the others are not."""
    install(site, f"gone = {module}:Gone")
    with pytest.raises(UserError, match=f"method 'gone' is registered as '{module}'"):
        method_file("gone")
    assert method_file("dann")


def test_module_without_a_method(site: Path) -> None:
    install(site, "hollow = someone_hollow", someone_hollow='"""Nothing here."""\n')
    with pytest.raises(UserError, match=r"someone_hollow.py must define one Method class, not 0"):
        load_method("hollow")


def test_module_that_cannot_be_imported(site: Path) -> None:
    install(site, "broken = someone_broken", someone_broken='"""Broken."""\nimport no_such_module_anywhere\n')
    with pytest.raises(UserError, match="broken"):
        load_method("broken")
