"""Items in memory, handed to a method as the engine hands them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from bench.api import Labelled, Method, Model, StageItems, Task
from bench.method.items import opened


@contextlib.contextmanager
def stage_items(
    data: Labelled, unlabelled: Tensor | None = None, domain: Tensor | None = None
) -> Iterator[StageItems]:
    """Labelled items of a stage (of several sources, and unlabelled ones of the target)."""
    with opened(lambda begin, end: data.x[begin:end], len(data.x), data.y, data.groups, domain) as labelled:
        if unlabelled is None:
            yield StageItems(labelled)
            return
        with opened(lambda begin, end: unlabelled[begin:end], len(unlabelled)) as theirs:
            yield StageItems(labelled, theirs)


def fit(
    method: Method, model: Model, data: Labelled, task: Task, unlabelled: Tensor | None = None
) -> dict[str, Any]:
    """Details of a method's fit to labelled items (and unlabelled ones of the target)."""
    with stage_items(data, unlabelled) as items:
        return method.fit(model, items, task)
