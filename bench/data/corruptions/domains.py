"""Domains that are another one's images corrupted, as a card names them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from bench.core.digest import code_digest, combine, package_version
from bench.core.errors import did_you_mean
from bench.spec.toml import Frozen

KINDS = (
    "gaussian-noise",
    "shot-noise",
    "impulse-noise",
    "defocus-blur",
    "glass-blur",
    "motion-blur",
    "zoom-blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic-transform",
    "pixelate",
    "jpeg-compression",
)
"""Names of the corruptions that `kinds` holds: apart, since cards are read where SciPy is not needed."""

LIBRARIES = ("numpy", "scipy", "pillow")
"""Libraries that pixels come from."""


@dataclass(frozen=True)
class Corruption:
    """Corruption of a domain's images."""

    of: str
    kind: str
    severity: int

    @property
    def name(self) -> str:
        """Name of the domain, as `twitter-fog-3`."""
        return f"{self.of}-{self.kind}-{self.severity}"

    @property
    def digest(self) -> str:
        """Digest of what decides pixels beside the images: kind, severity, code and libraries."""
        return combine(self.kind, str(self.severity), _code())

    def apply(self, pixels: np.ndarray, digest: str) -> np.ndarray:
        """Corrupt an image, uint8 (S, S, 3), whose content has this digest."""
        from bench.data.corruptions.kinds import corrupt

        return corrupt(pixels, digest, self.kind, self.severity)


class Corrupted(Frozen):
    """The `[[corrupted]]` table of a card: a domain for each kind and severity."""

    of: str = Field(description="domain whose images are corrupted")
    kinds: list[str] | Literal["all"] = "all"
    severities: list[Annotated[int, Field(ge=1, le=5)]] = Field([1, 2, 3, 4, 5], min_length=1)

    @field_validator("kinds")
    @classmethod
    def _are_known(cls, names: list[str] | str) -> list[str] | str:
        for name in names if isinstance(names, list) else ():
            if name not in KINDS:
                raise ValueError(f"there is no corruption '{name}': {did_you_mean(name, KINDS)}")
        return names

    @property
    def corruptions(self) -> list[Corruption]:
        """Every kind at every severity."""
        kinds = list(KINDS) if isinstance(self.kinds, str) else self.kinds
        return [Corruption(self.of, kind, severity) for kind in kinds for severity in self.severities]


@cache
def _code() -> str:
    return combine(code_digest("data/corruptions/*.py"), *map(str, map(package_version, LIBRARIES)))
