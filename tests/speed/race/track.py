"""What the races share: a row of the table, a clock, images in files as others expect them."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
from bench.engine.cell.environment import default_threads
from bench.processes.malloc import retain

T = TypeVar("T")

DOMAINS = ("apple", "google", "twitter", "windows")
SIZE = 64


@dataclass(frozen=True)
class Row:
    """Seconds of both sides for the same work, and what shows that it was the same."""

    race: str
    ours: float
    theirs: float
    peer: str
    check: str

    @property
    def ratio(self) -> float:
        """How many times longer the peer takes."""
        return self.theirs / self.ours


def seconds(work: Callable[[], object], rounds: int = 1) -> float:
    """Median wall seconds."""
    took = []
    for _ in range(rounds):
        since = time.perf_counter()
        work()
        took.append(time.perf_counter() - since)
    return statistics.median(took)


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median wall seconds of both, measured in turns, so that a change of the machine's pace meets both."""
    took = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return statistics.median(a for a, _ in took), statistics.median(b for _, b in took)


def apart(work: Callable[..., T], *arguments: Any, worker: bool = False) -> T:
    """What a call returns in a process of its own; as a `worker`, in one that keeps memory as ours do."""
    context = multiprocessing.get_context("spawn")
    method = multiprocessing.get_start_method()
    with ProcessPoolExecutor(1, context, initializer=_begin, initargs=(worker, method)) as pool:
        return pool.submit(work, *arguments).result()


def _begin(worker: bool, method: str) -> None:
    # Or it would start a DataLoader's workers as it was started itself, which takes seconds an epoch.
    multiprocessing.set_start_method(method, force=True)
    torch.set_num_threads(default_threads())
    if worker:
        retain()


def image_folder(root: Path, size: int = SIZE + SIZE // 8) -> Path:
    """Emoji-Home as `<domain>/<class>/<number>.png`, a little larger than networks take them."""
    card = load_card("emoji-home")
    dataset = open_dataset(card)
    for name in DOMAINS:
        domain, pixels = dataset.domains[name], dataset.decoded(name, size)
        for row, label in enumerate(domain.labels):
            path = root / name / card.classes[int(label)] / f"{row:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(pixels[row])).save(path)
    return root
