"""Encoders of texts: padding stays zero, and their features are those of the library transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.core.errors import UserError
from bench.networks.backbones.create import check_backbone, check_image_size, create_backbone, example
from bench.networks.backbones.encoders import TINY
from bench.networks.backbones.families import check_family, family_of
from bench.networks.backbones.tokens import tokenise
from bench.networks.backbones.weights import needs_hub, untrained, weights_digest
from bench.networks.hub.bert import bert, their_name
from bench.networks.hub.layers import Attention, Block, there
from bench.networks.split import Prefix, suffix
from tests.support.repositories import put, use

NAME = "tiny_encoder.untrained"
TEXTS = ("A crow, seen twice.", "plum", "the saw and the hammer and the bench " * 3)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.from_numpy(tokenise(NAME, TEXTS, 12)).long()


def test_words_become_numbers_and_the_rest_is_zero() -> None:
    tokens = tokenise(NAME, TEXTS, 12)
    assert tokens.dtype == np.int32
    assert (tokens > 0).sum(1).tolist() == [6, 1, 12], "a comma and a full stop are tokens"
    assert (tokens == 0).sum(1).tolist() == [6, 11, 0]
    again = tokenise(NAME, ("plum! A CROW",), 12)
    assert again[0, 0] == tokens[1, 0]
    assert again[0, 3] == tokens[0, 1]
    assert tokens.max() <= TINY.vocab_size


def test_padding_stays_zero_and_changes_nothing(tokens: torch.Tensor) -> None:
    torch.manual_seed(0)
    net = create_backbone(NAME).eval()
    x = net.net.embed(tokens)  # type: ignore[operator, union-attr]
    for name in net.stages:
        x = net.net.get_submodule(name)(x)
        assert torch.equal(there(x).squeeze(-1), tokens > 0)
    whole = net(tokens)
    for row, length in enumerate((tokens > 0).sum(1).tolist()):
        alone = net(tokens[row : row + 1, :length])
        torch.testing.assert_close(whole[row : row + 1], alone, rtol=1e-5, atol=1e-6)
        # The mean of the vectors of its own tokens.
        torch.testing.assert_close(x[row, :length].mean(0), whole[row], rtol=1e-5, atol=1e-6)


def test_attention_step_by_step_is_the_same_and_has_two_derivatives(tokens: torch.Tensor) -> None:
    torch.manual_seed(0)
    net = create_backbone(NAME)
    fused = net(tokens)
    net.plain_attention()
    torch.testing.assert_close(net(tokens), fused, rtol=1e-5, atol=1e-6)
    weight = net.net.get_submodule("layer0.attention.query").weight
    (first,) = torch.autograd.grad(net(tokens).square().sum(), [weight], create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), [weight])
    assert second.isfinite().all()
    assert second.abs().sum() > 0


@pytest.mark.parametrize("stage", ["layer0", "layer1", "pooled"])
def test_a_split_computes_the_same(tokens: torch.Tensor, stage: str) -> None:
    torch.manual_seed(0)
    net = create_backbone(NAME).eval()
    upper = suffix(net, stage, example(NAME, 12)).eval()
    activation = Prefix(net, stage)(tokens)
    torch.testing.assert_close(upper(activation), net(tokens))
    if stage != "pooled":
        assert upper.channel_axis == 2
        lengths = (tokens > 0).sum(1)
        means = torch.stack([a[:n].mean(0) for a, n in zip(activation, lengths.tolist(), strict=True)])
        torch.testing.assert_close(upper.place_mean(activation), means)


def test_names() -> None:
    for name in ("minilm", "minilm.untrained", NAME):
        assert family_of(name) == "text"
        check_backbone(name)
        check_family(name, "text")
        with pytest.raises(UserError, match=rf"backbone '{name}' takes texts, and these are images"):
            check_family(name, "image")
    with pytest.raises(UserError, match=r"takes images, and these are texts: use another .*minilm"):
        check_family("resnet18", "text")
    check_backbone("transformers:owner/name@main")
    for name, reason in (("tiny_encoder", "has no weights"), ("transformers:x", "OWNER/NAME")):
        with pytest.raises(UserError, match=reason):
            check_backbone(name)
    assert untrained("transformers:owner/name@main") == "transformers:owner/name@main.untrained"
    assert not needs_hub("minilm")
    assert needs_hub("transformers:owner/name")
    assert weights_digest("minilm")
    with pytest.raises(UserError, match=r"cannot take texts of 513 tokens.*positions for 512"):
        check_image_size(NAME, 513)


def fake(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str = "words") -> str:
    """A repository in the hub's cache with a folder's files."""

    def write(to: Path) -> None:
        for path in folder.glob("*.*"):
            shutil.copyfile(path, to / path.name)

    return put(use(folder / "hub", monkeypatch), f"test/{name}", write)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("t5", r"is of type 't5'.*encoders that are read are of bert \(texts\), roberta"),
        ("no json", "no description of an encoder"),
        ("huge", "no description of an encoder"),
    ],
)
def test_other_repositories_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    values = TINY.model_copy(update={"model_type": kind} if kind == "t5" else {})
    if kind == "huge":
        values = values.model_copy(update={"num_hidden_layers": 10**9})
    text = "{" if kind == "no json" else values.model_dump_json()
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=reason):
        create_backbone(fake(monkeypatch, tmp_path))


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_features_are_those_of_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_type: str
) -> None:
    """The masked mean of the last layer, of the same random weights read from its own files."""
    theirs: Any = pytest.importorskip("transformers")
    form = TINY.model_copy(update={"model_type": model_type, "pad_token_id": int(model_type != "bert")})
    config = theirs.AutoConfig.for_model(**form.model_dump())
    torch.manual_seed(1)
    model = theirs.AutoModel.from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(tmp_path)
    name = fake(monkeypatch, tmp_path)
    net = create_backbone(name).eval()
    tokens = torch.from_numpy(tokenise(NAME, TEXTS, 12)).long().clamp_max(2000)
    tokens[tokens > 0] += 3  # None of the marks, one of which is RoBERTa's padding.
    mask = tokens > 0
    ids = torch.where(mask, tokens - 1, form.pad_token_id)
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    expected = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    torch.testing.assert_close(net(tokens), expected, rtol=1e-5, atol=1e-5)


def test_weights_of_another_network_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(TINY.model_dump_json())
    state = {their_name(key): value.clone() for key, value in bert(TINY).state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    name = fake(monkeypatch, tmp_path)
    torch.testing.assert_close(
        create_backbone(name).net.state_dict()["layer1.up.weight"],
        state["encoder.layer.1.intermediate.dense.weight"],
    )
    save_file({k: v for k, v in state.items() if "layer.1.output" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"not this encoder's: 'encoder\.layer\.1\.output.* is missing"):
        create_backbone(fake(monkeypatch, tmp_path, "second"))
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(UserError, match=r"cannot read 'model\.safetensors'"):
        create_backbone(fake(monkeypatch, tmp_path, "third"))


def test_a_block_knows_padding_from_its_input_alone() -> None:
    torch.manual_seed(0)
    block = Block(Attention(8, 2), TINY.intermediate_size, TINY.layer_norm_eps, before=False)
    x = torch.randn(1, 5, 8)
    x[:, 3:] = 0
    out = block(x)
    assert (out[:, 3:] == 0).all()
    torch.testing.assert_close(out[:, :3], block(x[:, :3]))
