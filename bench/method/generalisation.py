"""Methods that learn from several sources at once, told apart: from the risk or the features of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.method.alignment import Side
from bench.method.base import GradientMethod, Model
from bench.method.batch import Access, Batch, Task
from bench.method.items import StageItems


class GeneralisationMethod(GradientMethod):
    """Loss over the sources of a batch; cross-entropy where there is one, as on the target's shots.

    One forward pass takes all sources. What lies behind the backbone is computed in single precision,
    whatever the stage's.
    """

    access: ClassVar[Access] = Access.SOURCE_LABELS | Access.SOURCE_DOMAINS | Access.TARGET_LABELS
    needs: ClassVar[Access] = Access.SOURCE_LABELS | Access.SOURCE_DOMAINS
    fewest: ClassVar[int] = 1
    """Items of each source that a step must have."""

    def over_sources(self, model: Model, sources: Mapping[int, Side], progress: float) -> Tensor:
        """Scalar loss of the labelled items of each source, by its number."""
        raise NotImplementedError(f"{type(self).__name__} has no over_sources()")

    def begin(self, model: Model, items: StageItems, task: Task) -> None:
        """Check that batches have room for all sources.

        Raises:
            UserError: they have not.
        """
        sources = count_sources(items)
        if task.batch_size // sources < self.fewest:
            what = f"{self.fewest} of each of {sources} sources"
            raise UserError(f"batches of {task.batch_size} have no room for {what}: use a larger batch_size")

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Loss over the sources of a batch."""
        if batch.domain is None:
            return super().loss(model, batch, progress)
        numbers = batch.domain.unique().tolist()
        streams = [batch.x[batch.domain == number] for number in numbers]
        parts = model.joint(streams, numbers)
        with torch.autocast(batch.x.device.type, enabled=False):
            sources = {
                number: Side(
                    model.head,
                    part.to(torch.promote_types(part.dtype, torch.float32)),
                    batch.y[batch.domain == number],
                )
                for number, part in zip(numbers, parts, strict=True)
            }
            return self.over_sources(model, sources, progress)


def count_sources(items: StageItems) -> int:
    """Number of sources that a stage's labelled items are of."""
    domain = items.labelled.domain
    return 1 if domain is None else int(domain.max()) + 1


def risks(sources: Mapping[int, Side]) -> Tensor:
    """Mean cross-entropy of each source, in order: (sources,)."""
    return torch.stack([source.risk for source in sources.values()])
