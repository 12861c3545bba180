"""Predictions of a model, outside the method: logits and features in batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.engine.evaluation.partitions import View
from bench.engine.evaluation.validators import Outputs
from bench.engine.training.inputs.base import Inputs, in_batches
from bench.engine.training.loop import autocast
from bench.method.base import Method, Model
from bench.processes.memory import in_parts
from bench.spec.cell import Precision, Stream

BATCH = 256
CACHED = 64 * 3 * 64 * 64
"""Numbers of the inputs that a CPU takes at once: what a network makes of more falls out of its caches.

Of `tf_efficientnet_lite0`, 64 images of 64 px a batch were 1.5 times as fast as 256, 4 of 224 px 1.8 times as
fast as 64.
"""


def at_once(inputs: Inputs, device: torch.device) -> int:
    """Batch size for items that are computed each alone."""
    return BATCH if device.type != "cpu" else min(BATCH, max(4, CACHED // max(1, inputs.numbers)))


def filled(x: Tensor, images: int) -> Tensor:
    """Fill a batch up on an accelerator, by its own images: (B, ...) -> (max(B, images), ...).

    Kernels are chosen anew for each length of a batch, which took an H100 five seconds, and 256 images 0.02.
    Elsewhere, and where there are as many, these alone.
    """
    if x.device.type == "cpu" or len(x) >= images:
        return x
    # Not by an index, which would lose the memory format.
    return torch.cat([x] * -(-images // len(x)))[:images]


def stored(logits: Tensor) -> Tensor:
    """Round logits (B, C) to float16 less each row's highest: the probabilities are the same.

    Float16 is finest near zero, and ends at 65,504: an offset that all classes share would cost digits, or
    look like a network that diverged. A finite logit further below than that is at the lowest number.
    """
    logits = logits.float()
    below = logits - logits.amax(1, keepdim=True)
    lowest = torch.finfo(torch.float16).min
    return below.clamp_min(lowest).where(below.isfinite(), below).half()


def in_order(x: Tensor, places: Sequence[np.ndarray]) -> Tensor:
    """Put what was computed in batches (N, ...) back to the places of its items; the last was filled up."""
    order = torch.from_numpy(np.concatenate(places)).to(x.device)
    return torch.empty_like(x[: len(order)]).index_copy_(0, order, x[: len(order)])


def stream_order(items: View, form: Stream, seed: int) -> np.ndarray:
    """Places of items in the order in which a stream has them, int64 (items,)."""
    order = np.random.default_rng(seed).permutation(len(items))
    if form.order == "by-class":
        order = order[np.argsort(items.subset.labels[order], kind="stable")]
    return order


USUAL_STREAM = Stream()


def streamed(
    method: Method,
    model: Model,
    items: View,
    precision: Precision,
    seed: int,
    form: Stream = USUAL_STREAM,
) -> Outputs:
    """Predict items of a stream: batches in its order, each item once, to which a copy of `model` adapts.

    A last item alone comes with those before it. Outputs are in the order of the items, as those of
    `outputs` are.
    """
    order = stream_order(items, form, seed)
    asked: list[int] = []
    logits, features = list[Tensor](), list[Tensor]()

    def batches() -> Iterator[Tensor]:
        # Batch norm has no statistics of one image.
        starts = range(0, max(1, len(items) - 1), form.batch)
        for start in starts:
            if len(logits) < len(asked):
                raise UserError("stream() takes a batch before it has answered the one before")
            end = len(items) if start == starts[-1] else start + form.batch
            x = items.inputs.take(items.subset.rows[order[start:end]])
            asked.append(len(x))
            yield x

    device = next(model.parameters()).device
    with torch.enable_grad(), autocast(device, precision):
        for scores, seen in method.stream(copy.deepcopy(model).eval(), batches()):
            logits.append(stored(scores.detach()))
            features.append(seen.detach().float().flatten(1))
    if [len(scores) for scores in logits] != asked or sum(asked) < len(items):
        raise UserError("stream() has to answer every image of every batch")
    back = torch.from_numpy(np.argsort(order))
    scores, seen = (torch.cat(parts).cpu()[back] for parts in (logits, features))
    return Outputs(scores, seen, items.subset.groups)


def outputs(
    method: Method,
    model: Model,
    items: View,
    precision: Precision,
    batch_statistics: bool = False,
) -> Outputs:
    """Predict logits, as they are stored, and features; both on the CPU.

    The network is left in evaluation mode; with `batch_statistics` batch norm normalises by the images beside
    each other here (transductive), and its running statistics stay as they are.
    """
    inputs, subset = items.inputs, items.subset
    model.eval()
    for module in model.modules() if batch_statistics else ():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
            module.momentum = 0.0

    def predicted(x: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(x.device, precision):
            return method.predict(model, x)

    logits, features, places = list[Tensor](), list[Tensor](), list[np.ndarray]()
    with torch.inference_mode():
        batch = BATCH if batch_statistics else at_once(inputs, next(model.parameters()).device)
        for at, x in in_batches(inputs, subset.rows, batch):
            places.append(at)
            # Statistics of a batch are of all of it, and of nothing else.
            for scores, seen in [predicted(x)] if batch_statistics else in_parts(predicted, filled(x, batch)):
                logits.append(stored(scores))
                features.append(seen.float().flatten(1))
    if batch_statistics:
        model.eval()
    scores, seen = (in_order(torch.cat(parts), places).cpu() for parts in (logits, features))
    return Outputs(scores, seen, subset.groups)


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose highest logit is their class's, in [0, 1]."""
    return float((scores.argmax(1) == labels).mean())


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats."""
    value = torch.nn.functional.cross_entropy(torch.from_numpy(scores).float(), torch.from_numpy(labels))
    return float(value)
