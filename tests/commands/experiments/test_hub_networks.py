"""Networks of the hub from the command line: a record says which weights; what will not do is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.networks.backbones.weights import weights_digest
from bench.networks.hub.files import CONFIG, PICKLE
from tests.support.checkout import bench
from tests.support.recordings import two_voices
from tests.support.repositories import put, saved, use


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings of two voices and a hub's cache."""
    home = tmp_path_factory.mktemp("home")
    two_voices(home / "voices")
    for model_type in ("esm", "wav2vec2"):
        put(
            home / "hub",
            f"test/{model_type}",
            lambda folder, model_type=model_type: saved(folder, model_type),
        )
    config = home / "hub" / "models--test--wav2vec2" / "snapshots" / "abc" / CONFIG

    def pickled(folder: Path) -> None:
        (folder / CONFIG).write_bytes(config.read_bytes())
        (folder / PICKLE).write_bytes(b"never read")

    put(home / "hub", "test/pickle", pickled)
    return home


def run(home: Path, network: str) -> tuple[int, str]:
    asked = ("--data", "voices", "--source", "low", "--target", "high", "--methods", "linear-probe")
    process = bench(
        *("run", *asked, "--steps", "8", "--image-size", "400", "--results", "out"),
        *("--backbone", f"transformers:test/{network}"),
        cwd=home,
        BENCH_CACHE=str(home / "cache"),
        HF_HUB_CACHE=str(home / "hub"),
        HF_HUB_OFFLINE="1",
    )
    return process.returncode, process.stderr


def test_a_run_with_a_network_of_the_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run(home, "wav2vec2")
    assert code == 0, said
    use(home / "hub", monkeypatch)
    name = "transformers:test/wav2vec2"
    records = [json.loads(path.read_text()) for path in (home / "out").glob("records/??/*.json")]
    (record,) = [found for found in records if found["request"]["cell"]["scenario"]["shots"] == 0]
    assert record["request"]["cell"]["backbone"] == name
    assert [name, weights_digest(name)] in record["digests"]["weights"]


@pytest.mark.parametrize(
    ("network", "line"),
    [
        ("esm", "takes sequences, and these are recordings: use another"),
        ("pickle", "in 'pytorch_model.bin' alone, a pickle, which is not read: name a revision"),
        ("nowhere", "cannot fetch 'config.json' of 'transformers:test/nowhere' from the hub"),
    ],
)
def test_networks_that_will_not_do(home: Path, network: str, line: str) -> None:
    code, said = run(home, network)
    assert code == 2
    (error,) = [found for found in said.splitlines() if found.startswith("error: ")]
    assert line in error
    assert said.rstrip().endswith(error)
