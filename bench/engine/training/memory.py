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
    """`f` of all rows of (N, ...), or, where memory does not hold that, of ever smaller parts in order.

    For what is computed of each row alone: then the parts together say the same.
    """
    try:
        return [f(x)]
    except Exception as error:
        if not is_out(error) or len(x) < 2:
            raise
    # Here, not above: an exception holds on to what its pass had computed.
    free()
    return [out for part in x.tensor_split(2) for out in in_parts(f, part)]
