"""A linear probe over the 12 pairs of four domains: ours, and the loop that tutorials teach.

The loop is that of the transfer-learning tutorials of PyTorch and CS231n with a frozen network: an
ImageFolder, a DataLoader with two workers, ten epochs through the frozen network, an optimiser on the new
last layer. It is run once for each pair, as users do, and tested on the target. Both sides read the same
files with nothing cached, split them alike, and are tested on the same images.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.data.dataset import open_dataset
from bench.data.own import own_card
from bench.data.splits import TEST, TRAIN, subset
from bench.engine.cell.environment import default_threads
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.image import normalisation
from bench.records.store import Store
from tests.speed.race.track import DOMAINS, SIZE, Row

NETWORK = "tf_efficientnet_lite0"
EPOCHS, BATCH = 10, 32

SUITE = f"""
description = "twelve pairs"
image_size = {SIZE}
backbones = ["{NETWORK}"]
methods = ["linear-probe"]

[[scenarios]]
kind = "cross-domain"
shots = [0]
"""


def race(folder: Path, work: Path) -> Row:
    """Whole commands and whole loops, imports and decoding included."""
    suite = work / "probe.toml"
    suite.write_text(SUITE)
    cache = {**os.environ, "BENCH_CACHE": str(work / "cache")}
    command = [sys.executable, "-m", "bench", "run", "--suite", str(suite), "--data", str(folder)]
    since = time.perf_counter()
    subprocess.run(
        [*command, "--results", str(work / "results")], env=cache, check=True, stdout=subprocess.DEVNULL
    )
    ours = time.perf_counter() - since
    records = list(Store(work / "results").records())
    accuracy = np.mean([record.evaluations[-1].accuracy["target-test"] for record in records])
    since = time.perf_counter()
    loop = [sys.executable, "-m", "tests.speed.race.probe", str(folder)]
    theirs_accuracy = float(subprocess.run(loop, check=True, stdout=subprocess.PIPE, text=True).stdout)
    theirs = time.perf_counter() - since
    return Row(
        f"linear probe, {len(records)} pairs",
        ours,
        theirs,
        f"ImageFolder, DataLoader, {EPOCHS} epochs through the frozen network",
        f"mean accuracy {100 * accuracy:.1f} % against {100 * theirs_accuracy:.1f} %",
    )


def tutorial(folder: Path) -> dict[tuple[str, str], float]:
    """Target test accuracy of every pair, by the usual loop."""
    mean, std = normalisation(NETWORK)
    usual = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    train = v2.Compose([v2.Resize(SIZE), v2.RandomCrop(SIZE, 4), v2.RandomHorizontalFlip(), *usual])
    test = v2.Compose([v2.Resize(SIZE), v2.CenterCrop(SIZE), *usual])
    dataset = open_dataset(own_card(folder))
    classes = tuple(dataset.card.classes)

    def loader(domain: str, split: str, transform: v2.Transform, shuffle: bool) -> DataLoader:  # type: ignore[type-arg]
        files = ImageFolder(folder / domain, transform)
        place = {Path(path).name: index for index, (path, _) in enumerate(files.samples)}
        names = [dataset.domains[domain].places[row][0].name for row in _rows(domain, split)]
        return DataLoader(Subset(files, [place[name] for name in names]), BATCH, shuffle, num_workers=2)

    def _rows(domain: str, split: str) -> list[int]:
        rows: list[int] = subset(dataset, domain, classes, split).rows.tolist()
        return rows

    accuracy = {}
    for source in DOMAINS:
        for target in DOMAINS:
            if target == source:
                continue
            # As the twelve runs that a user of such a loop makes: each trains its own head.
            network = create_backbone(NETWORK).eval().requires_grad_(False)
            network = network.to(memory_format=torch.channels_last)
            head = torch.nn.Linear(network.num_features, len(classes))
            optimiser = torch.optim.Adam(head.parameters(), lr=1e-3)
            for _ in range(EPOCHS):
                for x, y in loader(source, TRAIN, train, True):
                    with torch.no_grad():
                        features = network(x.contiguous(memory_format=torch.channels_last))
                    loss = torch.nn.functional.cross_entropy(head(features), y)
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
            right = total = 0
            with torch.no_grad():
                for x, y in loader(target, TEST, test, False):
                    right += int((head(network(x)).argmax(1) == y).sum())
                    total += len(y)
            accuracy[source, target] = right / total
    return accuracy


if __name__ == "__main__":
    torch.set_num_threads(default_threads())
    print(np.mean(list(tutorial(Path(sys.argv[1])).values())))
