"""The engine's DANN against a loop written beside it, which shares with it the images and nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_dataset, silent
from bench.data.sources.base import Absent
from bench.data.splits import TEST, TRAIN, subset
from bench.engine.cell.digests import present_digests
from bench.engine.cell.runner import Context, run_cell
from bench.engine.training.artifacts import Artifacts
from bench.method.registry import method_digest
from bench.spec.cell import Budget, Cell, Scenario, Setting
from tests.support.cells import WHERE

SOURCE, TARGET = "mnist", "mnist-m"
SIDE, STEPS, BATCH, SEEDS = 20, 150, 32, (0, 1, 2)


@pytest.fixture(scope="module")
def digits(cache: Path) -> Dataset:
    try:
        return open_dataset(load_card("digits-home"))
    except Absent as reason:
        pytest.skip(str(reason))


def engine(digits: Dataset, seed: int, folder: Path) -> float:
    """Accuracy of a cell, percent."""
    classes = tuple(digits.card.classes)
    scenario = Scenario(
        kind="cross-domain",
        dataset="digits-home",
        source=SOURCE,
        source_classes=classes,
        target=TARGET,
        target_classes=classes,
        shots=0,
    )
    cell = Cell(
        scenario=scenario,
        method="dann",
        backbone="ganin_mnist_bn.untrained",
        image_size=SIDE,
        augment="none",
        budget=Budget(steps=STEPS, batch_size=BATCH, evaluations=1),
        seed=seed,
    )
    digests = present_digests(digits, method_digest("dann"), [cell.backbone])
    context = Context("tests", Setting(), WHERE, Artifacts(folder))
    record, _ = run_cell(cell, context, digests, silent)
    assert record.outcome.status == "done", record.outcome
    return 100 * record.evaluations[-1].accuracy["target-test"]


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, by: float) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.by = by
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        return -ctx.by * gradient, None


def layer(inputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, 100), nn.BatchNorm1d(100), nn.ReLU()]


def bare(digits: Dataset, seed: int) -> float:
    """Accuracy of a plain loop after Ganin et al. 2016, percent."""
    torch.manual_seed(1000 + seed)
    random = np.random.default_rng(1000 + seed)
    classes = tuple(digits.card.classes)

    def images(domain: str, part: str) -> tuple[Tensor, Tensor]:
        chosen = subset(digits, domain, classes, part)
        pixels = torch.from_numpy(np.array(digits.decoded(domain, SIDE)[chosen.rows]))
        return pixels.permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(chosen.labels)

    (x, y), (u, _) = images(SOURCE, TRAIN), images(TARGET, TRAIN)
    body = nn.Sequential(
        *(nn.Conv2d(3, 32, 5), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 48, 5), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), *layer(48 * 2 * 2), *layer(100)),
    )
    head = nn.Linear(100, len(classes))
    critic = nn.Sequential(
        *(nn.Linear(100, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1))
    )
    parameters = [p for module in (body, head, critic) for p in module.parameters()]
    decayed, free = ([p for p in parameters if (p.ndim > 1) == matrix] for matrix in (True, False))
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": free, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3)
    domains = torch.cat([torch.ones(BATCH), torch.zeros(BATCH)])
    for step in range(STEPS):
        p = step / STEPS
        rate = 1e-3 * max(min(1.0, p / 0.1), 0.01) * (1 + math.cos(math.pi * p)) / 2
        for group in optimiser.param_groups:
            group["lr"] = rate
        mine, theirs = (random.choice(len(items), BATCH, replace=False) for items in (x, u))
        features = body(torch.cat([x[mine], u[theirs]]))
        strength = 2 / (1 + math.exp(-10 * p)) - 1
        told = critic(Reversed.apply(features, strength)).squeeze(1)
        loss = nn.functional.cross_entropy(head(features[:BATCH]), y[mine])
        loss = loss + nn.functional.binary_cross_entropy_with_logits(told, domains)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    body.eval()
    test, labels = images(TARGET, TEST)
    with torch.no_grad():
        return 100 * float((head(body(test)).argmax(1) == labels).float().mean())


@pytest.mark.slow
def test_dann_is_as_good_as_a_bare_loop(digits: Dataset, tmp_path: Path) -> None:
    """Means of three seeds within three points."""
    ours = [engine(digits, seed, tmp_path) for seed in SEEDS]
    theirs = [bare(digits, seed) for seed in SEEDS]
    assert min(*ours, *theirs) > 30, "both learn"
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=3.0), (ours, theirs)
