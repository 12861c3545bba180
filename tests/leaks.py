"""What can be reached from an object: attributes, elements, closures and defaults, tensors' whole storage.

Not what any Python code can reach: modules, globals of functions, the frames above. A method that reads
those has left its interface.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

WORLD = (types.ModuleType, type, types.FrameType, types.CodeType, types.BuiltinFunctionType, str, bytes)


def reach(*roots: Any) -> Iterator[Any]:
    """Every object that the roots lead to, the roots included, each once."""
    seen: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, WORLD):
            continue
        seen[id(item)] = item  # Kept, so that no other object gets its number.
        yield item
        waiting.extend(_neighbours(item))


def _neighbours(item: Any) -> list[Any]:
    if isinstance(item, types.FunctionType):
        cells = [cell.cell_contents for cell in item.__closure__ or () if _filled(cell)]
        return [*cells, item.__defaults__, item.__kwdefaults__, item.__dict__]
    if isinstance(item, types.MethodType):
        return [item.__self__, item.__func__]
    if isinstance(item, torch.Tensor):
        return [*vars(item).values(), item.grad if item.is_leaf else None, item._base]
    if isinstance(item, np.ndarray):
        return [item.base, *(item.ravel().tolist() if item.dtype == object else ())]
    inside = list(vars(item).values()) if hasattr(item, "__dict__") else []
    return [*inside, *gc.get_referents(item)]


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def arrays(item: Any) -> Iterator[np.ndarray]:
    """The item as an array, and all of the memory that it is a view of."""
    if isinstance(item, np.ndarray) and item.dtype != object:
        yield item
    elif isinstance(item, torch.Tensor) and item.layout == torch.strided:
        tensor = item.detach().cpu()
        yield tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
        storage = tensor.untyped_storage()
        if tensor.ndim and storage.nbytes() > tensor.nbytes and tensor.dtype != torch.bfloat16:
            whole = torch.tensor([], dtype=tensor.dtype).set_(storage)
            one = max(1, tensor[:1].numel())
            yield whole[: len(whole) // one * one].view(-1, *tensor.shape[1:]).numpy()
