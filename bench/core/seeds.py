"""Random streams derived from one run seed: initialisation, batch order, augmentation, shots, ..."""

from __future__ import annotations

import hashlib


def stream(seed: int, *purpose: str | int) -> int:
    """Derive a 63-bit seed for one purpose; other purposes and other seeds get unrelated ones."""
    text = "\0".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1
