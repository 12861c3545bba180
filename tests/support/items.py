"""Items in memory, handed to a method's closed form as the engine hands them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bench.api import Labelled, Method, Model, StageItems, Task
from bench.method.items import opened


def fit(
    method: Method, model: Model, data: Labelled, task: Task, unlabelled: Tensor | None = None
) -> dict[str, Any]:
    """Details of a method's fit to labelled items (and unlabelled ones of the target)."""
    with opened(lambda begin, end: data.x[begin:end], len(data.x), data.y, data.groups) as labelled:
        if unlabelled is None:
            return method.fit(model, StageItems(labelled), task)
        with opened(lambda begin, end: unlabelled[begin:end], len(unlabelled)) as theirs:
            return method.fit(model, StageItems(labelled, theirs), task)
