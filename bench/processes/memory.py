"""Out of memory: free what is not needed, and take fewer images at once."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def is_out(error: BaseException) -> bool:
    """True if an accelerator, Python or torch's allocator on the CPU had no more memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def free() -> None:
    """Let go of what nobody refers to, and of what an accelerator's allocator keeps for later."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.memory.empty_cache()


def in_parts(f: Callable[[Tensor], T], x: Tensor) -> list[T]:
    """`f` of all rows of (N, ...), or, where memory does not hold that, of parts in order that it holds.

    For what is computed of each row alone: then the parts together say the same.
    """
    out: list[T] = []
    size, start = len(x), 0
    while start < len(x) or not out:
        try:
            out.append(f(x[start : start + size]))
            start += size
            continue
        except Exception as error:
            if not is_out(error) or size < 2:
                raise
        # Here, not above: an exception holds on to what its pass had computed.
        free()
        size = -(-size // 2)
    return out
