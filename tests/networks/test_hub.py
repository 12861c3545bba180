"""Networks of the hub for recordings and sequences: features are those of the library transformers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.core.errors import UserError
from bench.data.decoders.sequence import decode
from bench.networks.backbones.create import check_backbone, check_image_size, create_backbone, example
from bench.networks.backbones.families import check_family, family_of
from bench.networks.backbones.weights import untrained, weights_digest
from bench.networks.hub.files import PICKLE, SHARDS
from bench.networks.split import Prefix, suffix
from tests.support.repositories import ESM, VOCABULARY, put, saved, use

SEQUENCES = ("MKTAYIAKQR", "GLFJX-B", "W")
SIZES = {"sequence": 12, "audio": 500}
MODEL_TYPES = {"sequence": "esm", "audio": "wav2vec2"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return use(tmp_path / "hub", monkeypatch)


def letters(texts: tuple[str, ...] = SEQUENCES, size: int = 12) -> torch.Tensor:
    rows = [decode(np.frombuffer(text.encode(), np.uint8), size) for text in texts]
    return torch.from_numpy(np.stack(rows)).long()


def recordings() -> torch.Tensor:
    """Half a second whole, a tenth in its middle, and silence."""
    x = 0.1 * torch.randn(3, 8000, generator=torch.Generator().manual_seed(2)) + 0.01
    x[1, :3000] = x[1, 4600:] = 0
    x[2] = 0
    return x


def items(modality: str) -> torch.Tensor:
    return letters() if modality == "sequence" else recordings()


def stored(cache: Path, model_type: str, **changes: Any) -> tuple[str, Any]:
    """Name of a repository, and the library's own network."""
    made: list[Any] = []
    name = put(cache, f"test/{model_type}", lambda folder: made.append(saved(folder, model_type, **changes)))
    return name, made[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"position_embedding_type": "absolute", "emb_layer_norm_before": True, "token_dropout": False},
        {"rope_theta": 500.0},
    ],
)
def test_features_of_sequences_are_those_of_transformers(cache: Path, changes: dict[str, Any]) -> None:
    """The mean of the last layer over letters, of each sequence alone, with its own tokeniser."""
    name, model = stored(cache, "esm", **changes)
    theirs: Any = pytest.importorskip("transformers")
    folder = next((cache / "models--test--esm" / "snapshots").iterdir())
    tokens = theirs.EsmTokenizer(str(folder / "vocab.txt"))
    net = create_backbone(name, 12).eval()
    for text, found in zip(SEQUENCES, net(letters()), strict=True):
        ids = tokens(" ".join(text.replace("-", "?")), return_tensors="pt")
        assert ids["input_ids"].shape[1] == len(text) + 2
        with torch.no_grad():
            hidden = model(**ids).last_hidden_state[0]
        torch.testing.assert_close(found, hidden[1:-1].mean(0), rtol=1e-5, atol=1e-5)
    assert ids["input_ids"][0].tolist() == [0, VOCABULARY.index("W"), 2]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
        {"num_conv_pos_embeddings": 15},
    ],
)
@pytest.mark.parametrize("normalised", [True, False, None])
def test_features_of_recordings_are_those_of_transformers(
    cache: Path, changes: dict[str, Any], normalised: bool | None
) -> None:
    """The mean of the last layer over frames, of each recording alone without the silence around it."""
    name, model = stored(cache, "wav2vec2", **changes)
    theirs: Any = pytest.importorskip("transformers")
    extractor = theirs.Wav2Vec2FeatureExtractor(do_normalize=normalised is not False)
    if normalised is not None:
        put(cache, "test/wav2vec2", extractor.save_pretrained)
    net = create_backbone(name, 500).eval()
    x = recordings()
    found = net(x)
    for row, heard in enumerate((x[0], x[1, 3000:4600], x[2])):
        values = extractor(heard.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
        with torch.no_grad():
            expected = model(values).last_hidden_state[0].mean(0)
        torch.testing.assert_close(found[row], expected, rtol=1e-5, atol=2e-5)
    assert found.std() > 0.1


def test_older_files_of_recordings_have_other_names(cache: Path) -> None:
    """As most repositories of speech have them: under the whole model's name, with weight_g and weight_v."""
    name, _ = stored(cache, "wav2vec2")
    expected = create_backbone(name, 500).eval()(recordings())

    def renamed(folder: Path) -> None:
        new = "parametrizations.weight.original"
        state = {
            f"wav2vec2.{key.replace(f'{new}0', 'weight_g').replace(f'{new}1', 'weight_v')}": value
            for key, value in load_file(folder / "model.safetensors").items()
        }
        assert any(key.endswith("weight_g") for key in state)
        (folder / "model.safetensors").unlink()
        save_file({**state, "lm_head.weight": torch.zeros(1)}, folder / "model.safetensors")

    put(cache, "test/wav2vec2", renamed)
    older = put(cache, "test/older", lambda folder: _copied(cache, "wav2vec2", folder))
    torch.testing.assert_close(create_backbone(older, 500).eval()(recordings()), expected)


def _copied(cache: Path, name: str, folder: Path) -> None:
    for path in (cache / f"models--test--{name}" / "snapshots" / "abc").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


def test_angles_of_older_files_hold(cache: Path) -> None:
    """They were saved in each layer, some of them rounded; the library goes by them."""
    name, model = stored(cache, "esm")
    folder = cache / "models--test--esm" / "snapshots" / "abc"
    state = load_file(folder / "model.safetensors")
    state = {key: value for key, value in state.items() if "inv_freq" not in key}
    angles = torch.tensor([1.0, 0.1, 0.01, 0.001]).half() * 0.9
    for layer in range(2):
        state[f"encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"] = angles.clone()
    save_file({f"esm.{key}": value for key, value in state.items()}, folder / "model.safetensors")
    net = create_backbone(name, 12).eval()
    model.rotary_embeddings.inv_freq = angles.float()
    ids = torch.tensor([[0, *(VOCABULARY.index(letter) for letter in SEQUENCES[0]), 2]])
    with torch.no_grad():
        expected = model(input_ids=ids).last_hidden_state[0, 1:-1].mean(0)
    torch.testing.assert_close(net(letters())[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("modality", MODEL_TYPES)
def test_neither_padding_nor_neighbours_nor_training_change_features(cache: Path, modality: str) -> None:
    name, _ = stored(cache, MODEL_TYPES[modality])
    x = items(modality)
    net = create_backbone(name, SIZES[modality]).eval()
    whole = net(x)
    for row in range(len(x)):
        torch.testing.assert_close(net(x[row : row + 1]), whole[row : row + 1], rtol=1e-5, atol=1e-5)
    # Padding of another length behind; the silent recording is silence alone.
    heard = x if modality == "sequence" else x[:2]
    longer = torch.nn.functional.pad(heard, (0, 500))
    torch.testing.assert_close(net(longer), whole[: len(heard)], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(net.train()(x), whole, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(net(x), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("modality", MODEL_TYPES)
def test_they_split_between_layers(cache: Path, modality: str) -> None:
    name, _ = stored(cache, MODEL_TYPES[modality])
    net, x = create_backbone(name, SIZES[modality]).eval(), items(modality)
    assert net.stages == ["layer0", "layer1"]
    assert net.letters == (28 if modality == "sequence" else 0)
    whole = net(x)
    for stage in (*net.stages, "pooled"):
        upper = suffix(net, stage, example(name, SIZES[modality])).eval()
        activation = Prefix(net, stage)(x)
        torch.testing.assert_close(upper(activation), whole)
        if stage != "pooled":
            assert upper.channel_axis == 2
            there = upper.there(activation)
            assert there is not None
            # Letters and two marks; of 100 ms, what lies between the ends of the first and the last frame.
            owed = [12, 9, 3] if modality == "sequence" else [24, 4, 24]
            assert there.sum((1, 2)).tolist() == owed


def test_places_of_letters_in_the_activations_of_layers(cache: Path) -> None:
    """Another letter at a place changes the place of that number, behind the first mark, most."""
    name, _ = stored(cache, "esm")
    net = create_backbone(name, 12).eval()
    embed = net.net.get_submodule("embed")
    x = letters(("MKTAYIAKQR", "MKTWYIAKQR"))
    with torch.no_grad():
        one, other = embed(x)
    assert (one != other).any(-1).nonzero().squeeze(1).tolist() == [net.marks + 3]


@pytest.mark.parametrize("modality", MODEL_TYPES)
def test_attention_step_by_step_has_two_derivatives(cache: Path, modality: str) -> None:
    name, _ = stored(cache, MODEL_TYPES[modality])
    net, x = create_backbone(name, SIZES[modality]), items(modality)
    fused = net(x)
    net.plain_attention()
    torch.testing.assert_close(net(x), fused, rtol=1e-5, atol=1e-5)
    weight = net.net.get_submodule("layer0.attention.query").weight
    (first,) = torch.autograd.grad(net(x).square().sum(), [weight], create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), [weight])
    assert second.isfinite().all()
    assert second.abs().sum() > 0


def test_names_are_of_the_modality_that_the_repository_says(cache: Path) -> None:
    for modality, model_type in MODEL_TYPES.items():
        name, _ = stored(cache, model_type)
        assert family_of(name) == family_of(untrained(name)) == modality
        check_backbone(name)
        check_family(name, modality)
        check_image_size(name, SIZES[modality])
        assert weights_digest(name)
        create_backbone(untrained(name), SIZES[modality])
        with pytest.raises(
            UserError, match=r"takes (sequences|recordings), and these are texts: use another"
        ):
            check_family(name, "text")
    with pytest.raises(UserError, match=r"takes recordings, and these are sequences: .*OWNER/NAME"):
        check_family(name, "sequence")
    check_backbone("transformers:test/esm@refs/pr/3")
    # Nothing is known of it, nor needed, until it is created.
    check_family("transformers:test/elsewhere", "audio")
    with pytest.raises(UserError, match=r"cannot fetch 'config\.json' of 'transformers:test/elsewhere'"):
        create_backbone("transformers:test/elsewhere")
    with pytest.raises(UserError, match="OWNER/NAME"):
        check_backbone("transformers:test/esm@../up")


def test_sizes_that_do_not_fit(cache: Path) -> None:
    name, _ = stored(cache, "esm", position_embedding_type="absolute", max_position_embeddings=24)
    check_image_size(name, 20)
    with pytest.raises(UserError, match=r"sequences of 21 letters \(it has positions for 20 letters\)"):
        check_image_size(name, 21)
    name, _ = stored(cache, "wav2vec2", conv_kernel=(10, 8, 30))
    # 10 + 10 * (8 - 1) + 80 * (30 - 1) = 2400 samples.
    check_image_size(name, 150)
    with pytest.raises(UserError, match="the shortest are of 150 ms"):
        check_image_size(name, 149)


def config(**changes: Any) -> Any:
    return lambda folder: (folder / "config.json").write_text(json.dumps(changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "t5"}, r"is of type 't5': encoders that are read are of bert .*wav2vec2 \(rec"),
        ({"model_type": None}, "no model_type"),
        ({"model_type": "esm", **ESM, "is_folding_model": True}, "is_folding_model"),
        ({"model_type": "esm", **ESM, "num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"model_type": "esm", **ESM, "num_attention_heads": 3}, "not shared evenly by its heads"),
        ({"model_type": "wav2vec2", "add_adapter": True}, "add_adapter"),
        ({"model_type": "wav2vec2", "hidden_act": "relu"}, "hidden_act"),
        ({"model_type": "wav2vec2", "conv_dim": [8, 8]}, "of different lengths"),
    ],
)
def test_other_networks_are_refused(cache: Path, changes: dict[str, Any], reason: str) -> None:
    name = put(cache, "test/other", config(**changes))
    with pytest.raises(UserError, match=reason) as caught:
        create_backbone(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("", r"cannot fetch 'model\.safetensors' of .* from the hub"),
        (PICKLE, "'pytorch_model.bin' alone, a pickle, which is not read: name a revision"),
        (SHARDS, "in several files .*: use a smaller network"),
    ],
)
def test_weights_that_are_not_read(cache: Path, file: str, reason: str) -> None:
    stored(cache, "wav2vec2")
    folder = cache / "models--test--wav2vec2" / "snapshots" / "abc"
    os.remove(folder / "model.safetensors")
    if file:
        (folder / file).write_bytes(b"never read")
    bare = put(cache, "test/bare", lambda to: _copied(cache, "wav2vec2", to))
    with pytest.raises(UserError, match=reason) as caught:
        create_backbone(bare)
    assert "\n" not in str(caught.value)
    create_backbone(untrained(bare))


def test_what_goes_with_weights_is_checked(cache: Path) -> None:
    name, _ = stored(cache, "esm")
    folder = cache / "models--test--esm" / "snapshots" / "abc"
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY[1:]))
    with pytest.raises(UserError, match=r"'vocab\.txt' of '.*' lacks '<cls>'"):
        create_backbone(untrained(name))
    (folder / "vocab.txt").write_text("\n".join((*VOCABULARY, "more")))
    with pytest.raises(UserError, match="more than 33 entries"):
        create_backbone(untrained(name))
    (folder / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"cannot fetch 'vocab\.txt'"):
        create_backbone(untrained(name))
    name, _ = stored(cache, "wav2vec2")
    put(cache, "test/wav2vec2", lambda to: _rate(to, 8000))
    with pytest.raises(UserError, match=r"takes 8000 samples a second, and recordings have 16000"):
        create_backbone(untrained(name))
    state = load_file(cache / "models--test--wav2vec2" / "snapshots" / "abc" / "model.safetensors")
    half = put(cache, "test/half", lambda to: _copied(cache, "wav2vec2", to))
    part = {key: value for key, value in state.items() if "layers.1.final" not in key}
    save_file(part, cache / "models--test--half" / "snapshots" / "abc" / "model.safetensors")
    put(cache, "test/half", lambda to: _rate(to, 16_000))
    with pytest.raises(UserError, match=r"not this encoder's: 'encoder\.layers\.1\.final_layer_norm\."):
        create_backbone(half)


def _rate(folder: Path, rate: int) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": rate}))
