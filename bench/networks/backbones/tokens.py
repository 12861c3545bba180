"""Tokens: texts as the numbers of an encoder's own vocabulary. No torch here."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from bench.core.errors import UserError
from bench.networks.backbones.encoders import (
    MOST_TOKENIZER,
    TINY,
    TINY_ENCODER,
    TOKENIZER,
    content,
)
from bench.networks.hub.files import architecture

PIECE = 1024
"""Texts that are tokenised at once."""


def tokenise(name: str, texts: Sequence[str], length: int) -> np.ndarray:
    """Numbers of the tokens of texts, plus one: int32 (texts, length), zeros behind them.

    Longer texts are cut, between the marks that begin and end them.

    Raises:
        UserError: the vocabulary cannot be had, or the library that reads it is not installed.
    """
    out = np.zeros((len(texts), length), dtype=np.int32)
    for row, numbers in enumerate(_numbers(architecture(name), texts, length)):
        out[row, : len(numbers)] = np.asarray(numbers, dtype=np.int32) + 1
    return out


def _numbers(name: str, texts: Sequence[str], length: int) -> Iterator[Sequence[int]]:
    if name == TINY_ENCODER:
        for text in texts:
            words = re.findall(r"\w+|[^\w\s]", text.lower())[:length]
            yield [zlib.crc32(word.encode()) % TINY.vocab_size for word in words] or [0]
        return
    reader = _reader(name)
    reader.no_padding()
    reader.enable_truncation(length)
    for start in range(0, len(texts), PIECE):
        for encoding in reader.encode_batch(list(texts[start : start + PIECE])):
            yield encoding.ids


@lru_cache(maxsize=2)
def _reader(name: str) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UserError(f"'{name}' needs tokenizers: pip install 'transfer-bench[text]'") from None
    text = content(name, TOKENIZER, MOST_TOKENIZER).decode("utf-8", "replace")
    try:
        return Tokenizer.from_str(text)
    except Exception as error:
        # The library raises bare exceptions.
        raise UserError(
            f"cannot read '{TOKENIZER}' of '{name}': {' '.join(str(error).split())[:160]}"
        ) from None
