"""Every registered method on rows of tables and on sequences: it answers in full, or says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.data import catalog
from bench.data.card import Card
from bench.data.splits import subset
from bench.engine.cell.features import DomainInputs
from bench.engine.training.inputs.table import fitted
from bench.method.registry import method_modules
from bench.spec.cell import Federation, Part
from tests.support.cells import assert_answered, steps_of, usual_shots
from tests.support.tabular import CARDS, NETWORKS, tabular_cell

METHODS = sorted(method_modules())
LETTERS = {"masked-pretraining": "network of letters"}
IMAGES = {"vpt": "vision transformer", "co-tuning": "pretrained classifier"}
SEQUENCES = {"mixup": "something in between", "boosted-trees": "rows of tables"}
LACKING = {
    "mlp.untrained": {**IMAGES, **LETTERS, "mixstyle": "statistics over positions"},
    "ft_transformer.untrained": {**IMAGES, **LETTERS},
    "peptide_cnn.untrained": {**IMAGES, **SEQUENCES},
    "unirep_64.untrained": {**IMAGES, **SEQUENCES},
}
"""Methods that need what a network or its items lack, and words of the reason."""
CASES = [
    pytest.param(
        method,
        (modality, network),
        shots,
        marks=() if (network, shots) == (names[0], usual_shots(method)) else pytest.mark.slow,
        id=f"{method}-{network}-{shots}",
    )
    for modality, names in NETWORKS.items()
    for network in names
    for method in METHODS
    for shots in (0, 2)
]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def asked(
    request: pytest.FixtureRequest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Card, str]:
    """A card among those of a catalog of its own, and a network."""
    modality, network = request.param
    card = CARDS[modality]()
    monkeypatch.setattr(catalog, "CARDS", tmp_path)
    monkeypatch.setattr(catalog, "_packaged", lambda _: card)
    (tmp_path / f"{card.name}.toml").touch()
    return card, network


@pytest.mark.parametrize(("method", "asked", "shots"), CASES, indirect=["asked"])
def test_answers_or_says_why_not(asked: tuple[Card, str], artifacts: Path, method: str, shots: int) -> None:
    card, network = asked
    cell = tabular_cell(card, method, network, shots)
    assert_answered(cell, artifacts, LACKING[network].get(method))


@pytest.mark.parametrize("asked", [("table", "mlp.untrained")], indirect=True)
@pytest.mark.parametrize(("kind", "method"), [("continual", "replay"), ("federated", "fedavg")])
def test_rows_of_a_target_in_parts_are_scaled_by_those_of_the_first_stage(
    asked: tuple[Card, str], artifacts: Path, kind: str, method: str
) -> None:
    """A task that is yet to come says nothing of how columns are scaled; clients all do."""
    card, network = asked
    parts = tuple(Part(domain=name, classes=tuple(card.classes)) for name in card.domains)
    cell = tabular_cell(card, method, network, "all")
    scenario = cell.scenario.model_copy(
        update={
            "kind": kind,
            "source": None,
            "source_classes": (),
            "target": "small and large",
            "parts": parts,
            "federation": Federation(rounds=1, local_steps=2) if kind == "federated" else None,
        }
    )
    run = steps_of(cell.model_copy(update={"scenario": scenario}), artifacts)
    predictions = run.run()
    assert len(predictions["target-test/labels"])
    domains = DomainInputs(run.env, run.dataset)
    small, large = (run.dataset.decoded(name, cell.image_size) for name in card.domains)
    train = [subset(run.dataset, name, tuple(card.classes), "train").rows for name in card.domains]
    reference = small[train[0]]
    if kind == "federated":
        reference = np.concatenate([reference, large[train[1]]])
    owed = fitted(reference[:, 0]).scaled(large[:, 0])
    found = domains.get(card.domains[1], run.backbone, None, 0).take(np.arange(len(large)))
    np.testing.assert_array_equal(found[:, 0].numpy(), owed)
