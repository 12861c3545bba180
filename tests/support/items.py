"""Items in memory, handed to a method's closed form and hooks as the engine hands them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bench.api import Labelled, Method, Model, StageItems, Task
from bench.method.items import opened


@contextmanager
def stage_items(x: Tensor, y: Tensor) -> Iterator[StageItems]:
    """Labelled items, each a group of its own."""
    with opened(lambda begin, end: x[begin:end].clone(), len(x), y, torch.arange(len(x))) as labelled:
        yield StageItems(labelled)


def fit(
    method: Method, model: Model, data: Labelled, task: Task, unlabelled: Tensor | None = None
) -> dict[str, Any]:
    """Details of a method's fit to labelled items (and unlabelled ones of the target)."""
    with opened(lambda begin, end: data.x[begin:end], len(data.x), data.y, data.groups) as labelled:
        if unlabelled is None:
            return method.fit(model, StageItems(labelled), task)
        with opened(lambda begin, end: unlabelled[begin:end], len(unlabelled)) as theirs:
            return method.fit(model, StageItems(labelled, theirs), task)
