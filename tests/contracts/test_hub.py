"""Every registered method on networks of the hub: it answers in full, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data import catalog
from bench.method.registry import method_modules
from bench.spec.cell import Cell
from tests.contracts.test_audio import question
from tests.support.cells import assert_answered, usual_shots
from tests.support.recordings import two_voices
from tests.support.repositories import put, saved, use
from tests.support.tabular import sequence_card, tabular_cell

MODALITIES = {"audio": "wav2vec2", "sequence": "esm"}
TUNING = (
    *("linear-probe", "full-finetune", "partial-finetune", "lora", "adapter", "bitfit", "maml", "nas-lite"),
    *("boosted-trees", "co-tuning", "masked-pretraining", "mixup", "vpt"),
)
SKIPPED = {
    "audio": {
        "vpt": "vision transformer",
        "co-tuning": "classifier that it was pretrained with",
        "masked-pretraining": "network of letters",
    },
    "sequence": {
        "vpt": "vision transformer",
        "co-tuning": "classifier that it was pretrained with",
        "boosted-trees": "rows of tables",
        "mixup": "something in between",
    },
}
"""Methods that need what a network or its items lack, and words of the reason."""
CASES = [
    pytest.param(method, modality, suffix, marks=() if method in TUNING and not suffix else pytest.mark.slow)
    for method in sorted(method_modules())
    for modality in MODALITIES
    for suffix in ("", ".untrained")
]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hub's cache, with a tiny random network of each type."""
    cache = tmp_path_factory.mktemp("hub")
    for model_type in MODALITIES.values():
        put(cache, f"test/{model_type}", lambda folder, model_type=model_type: saved(folder, model_type))
    return cache


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_voices(tmp_path_factory.mktemp("own") / "voices")


@pytest.fixture
def asked(
    request: pytest.FixtureRequest,
    hub: Path,
    voices: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Cell, str]:
    """A cell of a method on a network of a modality, and the modality."""
    method, modality, suffix = request.param
    use(hub, monkeypatch)
    network = f"transformers:test/{MODALITIES[modality]}{suffix}"
    shots = usual_shots(method)
    if modality == "audio":
        monkeypatch.setenv("BENCH_OWN_DATA", str(voices))
        return question(method, network, shots), modality
    card = sequence_card()
    monkeypatch.setattr(catalog, "CARDS", tmp_path)
    monkeypatch.setattr(catalog, "_packaged", lambda _: card)
    (tmp_path / f"{card.name}.toml").touch()
    return tabular_cell(card, method, network, shots), modality


@pytest.mark.parametrize(
    "asked",
    [pytest.param(case.values, marks=case.marks, id="-".join(map(str, case.values))) for case in CASES],
    indirect=True,
)
def test_answers_or_says_why_not(asked: tuple[Cell, str], artifacts: Path) -> None:
    cell, modality = asked
    assert_answered(cell, artifacts, SKIPPED[modality].get(cell.method))
