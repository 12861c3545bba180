"""DANN through the whole loop, data included: ours, and dalib's loss inside the loop it is published with.

dalib 0.2 is what TLlib has on PyPI. It ships the loss and the discriminator but no loop, and its zoo of
networks cannot be imported any more, so the loop below has the published one's form: endless iterators over
two DataLoaders with two workers, one pass through the network for each domain. Network, batch, steps,
optimiser, learning rate and images are those of ours.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.backbones import create_backbone, normalisation
from bench.data.card import load_card
from bench.plan import plan
from bench.suite import Cell, load_suite
from tests.speed.race.track import SIZE, Row
from tests.support import steps_of

STEPS, WARM = 40, 5


def race(folder: Path, work: Path) -> Row:
    """Seconds of 40 steps after a few to warm up, google to twitter."""
    suite = load_suite("emoji-home").model_copy(update={"methods": ["dann"]})
    cells = plan(suite, load_card(suite.dataset))
    cell = next(c for c in cells if (c.scenario.source, c.scenario.target) == ("google", "twitter"))
    ours, our_loss = mine(cell, work)
    theirs, their_loss = published(folder, cell.budget.batch_size)
    return Row(
        f"DANN, {STEPS} steps of 2 × {cell.budget.batch_size} images at {SIZE} px",
        ours,
        theirs,
        "dalib 0.2's loss in the published loop, DataLoaders with 2 workers",
        f"label loss in the last ten steps {our_loss:.2f} against {their_loss:.2f}; "
        f"{STEPS * 2 * cell.budget.batch_size / ours:.0f} against "
        f"{STEPS * 2 * cell.budget.batch_size / theirs:.0f} images/s",
    )


def mine(cell: Cell, work: Path) -> tuple[float, float]:
    """Seconds, and the mean label loss of the last ten steps."""
    run = steps_of(cell, work / "artifacts")
    run.open()
    method: Any = run.method
    modules, task, source = run.build("source"), run.task("source"), run.roles.source
    assert source
    feed = run.trainer.feed(method, task, source.inputs, source.train)
    optimizer = method.optimizer(modules, task)
    modules.train()
    losses: list[Tensor] = []
    since = 0.0
    for step in range(WARM + STEPS):
        if step == WARM:
            since = time.perf_counter()
        batch = feed.batch(step)
        loss = method.loss(modules, batch, step / (WARM + STEPS))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    took = time.perf_counter() - since
    return took, _label_loss(modules, feed, method)


def _label_loss(modules: Any, feed: Any, method: Any) -> float:
    """Cross-entropy on ten batches that were trained on, in training mode."""
    found = []
    with torch.no_grad():
        for step in range(10):
            batch = feed.batch(step)
            logits = modules.head(modules.features(batch.x))
            found.append(float(torch.nn.functional.cross_entropy(logits, batch.y)))
    return sum(found) / len(found)


def published(folder: Path, batch: int) -> tuple[float, float]:
    """The same of the published loop."""
    from dalib.adaptation.dann import DomainAdversarialLoss
    from dalib.modules.domain_discriminator import DomainDiscriminator

    name = "tf_efficientnet_lite0"
    mean, std = normalisation(name)
    transform = v2.Compose(
        [
            v2.Resize(SIZE + SIZE // 8),
            v2.RandomCrop(SIZE),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )
    data = {domain: ImageFolder(folder / domain, transform) for domain in ("google", "twitter")}
    source, target = (
        _forever(DataLoader(images, batch, shuffle=True, num_workers=2, drop_last=True))
        for images in data.values()
    )
    torch.manual_seed(0)
    network = create_backbone(name).to(memory_format=torch.channels_last)
    head = torch.nn.Linear(network.num_features, len(data["google"].classes))
    discriminator = DomainDiscriminator(in_feature=network.num_features, hidden_size=1024)
    adversarial = DomainAdversarialLoss(discriminator)
    modules = torch.nn.ModuleList([network, head, adversarial])
    optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-3, amsgrad=True)
    modules.train()
    since, tail = 0.0, []
    for step in range(WARM + STEPS):
        if step == WARM:
            since = time.perf_counter()
        (source_x, y), (target_x, _) = next(source), next(target)
        source_f, target_f = (
            network(x.contiguous(memory_format=torch.channels_last)) for x in (source_x, target_x)
        )
        label_loss = torch.nn.functional.cross_entropy(head(source_f), y)
        loss = label_loss + adversarial(source_f, target_f)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tail.append(label_loss.detach())
    took = time.perf_counter() - since
    return took, float(torch.stack(tail[-10:]).mean())


def _forever(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader
