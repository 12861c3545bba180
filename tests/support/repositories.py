"""Repositories in the hub's cache, written by the library transformers from tiny random networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from bench.networks.backbones import encoders, repositories, text
from bench.networks.hub import files

VOCABULARY = (
    *("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"),
)
"""That of ESM-2."""

ESM = {
    "vocab_size": len(VOCABULARY),
    "mask_token_id": 32,
    "pad_token_id": 1,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "position_embedding_type": "rotary",
    "token_dropout": True,
    "emb_layer_norm_before": False,
    "layer_norm_eps": 1e-5,
}
WAV2VEC2 = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 8, 5),
    "conv_stride": (10, 8, 4),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.5,
    "mask_time_prob": 0.5,
    "mask_time_length": 2,
}
"""Tiny forms; the second's frames are of 20 ms, as those of the real ones."""


def put(cache: Path, repository: str, write: Callable[[Path], None]) -> str:
    """Write the files of a repository into the hub's cache; its name as a backbone is returned."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / "abc"
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("abc")
    write(snapshot)
    forget()
    return f"transformers:{repository}"


def forget() -> None:
    """Forget what was read of repositories of the same names."""
    files.forget()
    encoders.form.cache_clear()
    text._pretrained.cache_clear()
    repositories._trained.cache_clear()


def use(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the hub's cache, with no hub behind it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def saved(folder: Path, model_type: str, **changes: Any) -> Any:
    """Write a random network as the library does, and return it, with attention step by step."""
    theirs: Any = pytest.importorskip("transformers")
    known = {"esm": ESM, "wav2vec2": WAV2VEC2}[model_type]
    config = theirs.AutoConfig.for_model(model_type, **{**known, **changes})
    torch.manual_seed(1)
    model = theirs.AutoModel.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Norms and biases are at ones and zeros, which would hide one that is missing.
            if parameter.ndim == 1 or "position" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    if model_type == "esm":
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return model
