"""Contract of decoders, and the error of an item that cannot be decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from bench.core.digest import code_digest, combine, package_version
from bench.core.errors import UserError
from bench.data.sources.encoded import Encoded

Fit = Literal["pad", "crop", "squash"]
"""Way to make an image square: white margins, a centre crop, or stretching."""


class Unreadable(UserError):
    """Item that cannot be decoded; the message says why, without naming it.

    It is `lasting` where its content is the reason, and will be again.
    """

    def __init__(self, reason: str, lasting: bool = True) -> None:
        super().__init__(reason)
        self.lasting = lasting


class Decode(Protocol):
    """Function that decodes an item of a modality to an array of one shape."""

    def __call__(self, encoded: Encoded, size: int, fit: Fit = "pad") -> np.ndarray:
        """Array of the decoder's shape and type.

        Raises:
            Unreadable: the item is missing, empty, damaged or too large.
            UserError: a disk or this process cannot read at the moment.
        """
        ...


@dataclass(frozen=True)
class Decoder:
    """Decoder of a modality: a function, and the shape and type of what it returns."""

    modality: str
    decode: Decode
    dtype: str
    """numpy's name of the type."""
    axes: tuple[int | None, ...]
    """Shape of a decoded item; None for an axis of the item's size."""
    libraries: tuple[str, ...] = ()
    """Packages whose releases may decode otherwise."""
    scale: int = 1
    """Length of an axis of the item's size, in units of that size."""
    show: Callable[[np.ndarray], np.ndarray | str] | None = None
    """What a person looks at of a decoded item: a picture, uint8 (H, W, 3), or a text; None: nothing yet."""

    def shape(self, size: int) -> tuple[int, ...]:
        """Shape of an item of a size."""
        return tuple(self.scale * size if axis is None else axis for axis in self.axes)

    @property
    def digest(self) -> str:
        """Digest of the code that decodes, its libraries' versions included: other code, other items."""
        code = code_digest(f"data/decoders/{self.modality}.py", "data/decoders/base.py")
        return combine(code, *(str(package_version(name)) for name in self.libraries))
