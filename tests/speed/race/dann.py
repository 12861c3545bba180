"""DANN through the whole loop, data included: ours, dalib's loss in the loop it is published with, skada's.

dalib 0.2 is what TLlib has on PyPI. It ships the loss and the discriminator but no loop, and its zoo of
networks cannot be imported any more, so the loop below has the published one's form: endless iterators over
two DataLoaders with two workers, one pass through the network for each domain. Network, batch, steps,
optimiser, learning rate and images are those of ours. skada takes images as an array in memory, so it decodes
and augments nothing.

Each runs in a process of its own, ours in one such as a worker's, and all take turns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.data.catalog import load_card
from bench.engine.cell.stage import StageRun
from bench.engine.training.loop import Hooks, Schedule, Training
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.image import normalisation
from bench.spec.cell import Cell
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite
from tests.speed.race.track import SIZE, Row, apart
from tests.support.cells import steps_of

NETWORK = "tf_efficientnet_lite0"
STEPS, WARM, ROUNDS = 40, 5, 3


def race(folder: Path, work: Path) -> Iterator[Row]:
    """Median seconds of 40 steps after a few to warm up, google to twitter."""
    suite = load_suite("emoji-home").model_copy(update={"methods": ["dann"]})
    cells = plan(suite, load_card(suite.dataset))
    cell = next(c for c in cells if (c.scenario.source, c.scenario.target) == ("google", "twitter"))
    batch = cell.budget.batch_size
    images = STEPS * 2 * batch
    rounds = [
        (apart(mine, cell, work, worker=True), apart(published, folder, batch), apart(skada, folder, batch))
        for _ in range(ROUNDS)
    ]
    (ours, our_loss), dalib, estimator = (
        tuple(map(median, zip(*side, strict=True))) for side in zip(*rounds, strict=True)
    )

    def row(peer: str, theirs: float, their_loss: float) -> Row:
        loss = f"label loss in the last ten steps {our_loss:.2f} against {their_loss:.2f}"
        rates = f"{images / ours:.0f} against {images / theirs:.0f} images/s"
        return Row(
            f"DANN, {STEPS} steps of 2 × {batch} images at {SIZE} px", ours, theirs, peer, f"{loss}; {rates}"
        )

    yield row("dalib 0.2's loss in the published loop, DataLoaders with 2 workers", *dalib)
    yield row("skada's DANN, images in memory", *estimator)


def mine(cell: Cell, work: Path) -> tuple[float, float]:
    """Seconds, and the mean label loss of the last ten steps."""
    run = steps_of(cell, work / "artifacts")
    run.open()
    method: Any = run.method
    spec = run.stages[0]
    model, task, source = run.build(spec), run.task(spec), run.partitions.of(spec.labelled)
    feed = run.trainer.batches(StageRun(spec, task, model, source), source)
    times: list[float] = []
    stage = Schedule(task, WARM + STEPS, 1, cell.precision)
    hooks = Hooks(lambda *_: None, lambda _: times.append(time.perf_counter()))
    Training(method, model, feed, stage, hooks).run()
    model.train()
    took = times[-1] - times[WARM - 1]
    return took, _label_loss(model, feed, method)


def _label_loss(model: Any, feed: Any, method: Any) -> float:
    """Cross-entropy on ten batches that were trained on, in training mode."""
    found = []
    with torch.no_grad():
        for step in range(10):
            batch = feed.batch(step)
            logits = model.head(model.features(batch.x))
            found.append(float(torch.nn.functional.cross_entropy(logits, batch.y)))
    return sum(found) / len(found)


def published(folder: Path, batch: int) -> tuple[float, float]:
    """The same of the published loop."""
    np.float = float  # type: ignore[attr-defined]  # dalib uses a name that NumPy 1.24 dropped
    from dalib.adaptation.dann import DomainAdversarialLoss
    from dalib.modules.domain_discriminator import DomainDiscriminator

    mean, std = normalisation(NETWORK)
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
    network = create_backbone(NETWORK).to(memory_format=torch.channels_last)
    head = torch.nn.Linear(network.num_features, len(data["google"].classes))
    discriminator = DomainDiscriminator(in_feature=network.num_features, hidden_size=1024)
    adversarial = DomainAdversarialLoss(discriminator)
    model = torch.nn.ModuleList([network, head, adversarial])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
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


def skada(folder: Path, batch: int) -> tuple[float, float]:
    """The same of skada's estimator, which trains by skorch."""
    from skada.deep import DANN
    from skorch.callbacks import Callback

    mean, std = normalisation(NETWORK)
    usual = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    transform = v2.Compose([v2.Resize(SIZE), *usual])
    x, y, domain = [], [], []
    for sign, name in ((1, "google"), (-2, "twitter")):
        files = ImageFolder(folder / name, transform)
        x += [files[index][0].numpy() for index in range(len(files))]
        y += files.targets if sign > 0 else [-1] * len(files)
        domain += [sign] * len(files)
    torch.manual_seed(0)
    network = create_backbone(NETWORK)
    whole = torch.nn.Sequential(
        network, torch.nn.Identity(), torch.nn.Linear(network.num_features, max(y) + 1)
    )

    class Clock(Callback):  # type: ignore[misc]
        steps, since, took = 0, 0.0, 0.0
        losses: list[float] = []

        def on_batch_end(self, net: Any, training: bool = False, **_: Any) -> None:
            self.steps += training
            if self.steps == WARM:
                self.since = time.perf_counter()
            if self.steps == WARM + STEPS:
                self.took = time.perf_counter() - self.since
                raise KeyboardInterrupt  # skorch's way to end a training early

    clock = Clock()
    net = DANN(
        whole.to(memory_format=torch.channels_last),
        "1",
        num_features=network.num_features,
        batch_size=batch,
        max_epochs=1000,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        train_split=None,
        verbose=0,
        callbacks=[("clock", clock)],
    )
    net.fit(np.stack(x), np.array(y), sample_domain=np.array(domain))
    return clock.took, float(np.mean(net.history[:, "batches", :, "train_loss"][-1][-10:]))
