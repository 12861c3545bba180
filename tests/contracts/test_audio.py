"""Every registered method on recordings: it answers in full, or says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import CellSkipped
from bench.method.registry import method_modules
from bench.spec.cell import Budget, Cell, Scenario
from tests.support.cells import steps_of, usual_shots
from tests.support.recordings import TONES, two_voices

METHODS = sorted(method_modules())
USUAL = "audio_cnn.untrained"
OTHERS = ("spectrogram:test_efficientnet.untrained", "speech_embedding.untrained")
TUNING = (
    "linear-probe",
    "full-finetune",
    "partial-finetune",
    "lora",
    "bitfit",
    "adapter",
    "maml",
    "nas-lite",
)
CASES = [
    *((method, USUAL) for method in METHODS),
    *(pytest.param(method, name, marks=pytest.mark.slow) for name in OTHERS for method in TUNING),
]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_voices(tmp_path_factory.mktemp("own") / "voices")


def question(method: str, network: str, shots: int) -> Cell:
    """From the low voice to the high one, two words of 800 ms, two steps."""
    words = tuple(TONES)
    scenario = Scenario(
        kind="cross-domain",
        dataset="voices",
        source="low",
        source_classes=words,
        target="high",
        target_classes=words,
        shots=shots,
    )
    budget = Budget(steps=2, batch_size=8, evaluations=1)
    asked = {"modality": "audio", "image_size": 800, "augment": "spec-augment", "budget": budget, "seed": 1}
    return Cell(scenario=scenario, method=method, backbone=network, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "network"), CASES)
def test_answers_or_says_why_not(
    voices: Path, artifacts: Path, monkeypatch: pytest.MonkeyPatch, method: str, network: str
) -> None:
    """Without labels of the target where the method makes no use of them, else with two per class."""
    monkeypatch.setenv("BENCH_OWN_DATA", str(voices))
    run = steps_of(question(method, network, usual_shots(method)), artifacts)
    try:
        predictions = run.run()
    except CellSkipped as skipped:
        reason = str(skipped)
        assert method not in TUNING, reason
        assert reason.startswith((f"{method} ", f"'{network}' "))
        assert "\n" not in reason
        return
    labels = predictions["target-test/labels"]
    assert set(labels.tolist()) == {0, 1}
    logits = predictions[f"look{run.selected['last']}/target-test/logits"]
    assert logits.shape == (len(labels), 2)
    assert np.isfinite(logits).all()
    assert run.evaluations
