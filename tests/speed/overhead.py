"""What the engine costs beside a training loop by hand: `python -m tests.speed.overhead [--seconds S]`.

A cell of full fine-tuning from one emoji domain to another goes through a worker process as it does in a
user's run, its record on disk included. The loop by hand has the same network, images, steps, batches,
optimiser, threads and judgements, with all images as tensors in memory; it keeps nothing. It runs in this
process. Both take turns, each after a warm-up.

A tiny cell, of a step in each stage, shows what does not grow with the steps.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import queue
import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.api import GradientMethod
from bench.commands.experiments.run_plan import current_digests
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset
from bench.engine.cell.environment import default_threads
from bench.engine.evaluation.partitions import View, open_partitions
from bench.executors.messages import ANSWER, CellFinished, CellProgress, CellRequest, CellStarted
from bench.networks.backbones.create import create_backbone
from bench.networks.backbones.image import normalisation
from bench.processes.local import LocalWorker
from bench.processes.protocol import Answers
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.cell import Budget, Cell, Setting
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite
from bench.spec.scenarios import stages

TINY_CLASSES = 4
REPEATS = 21
SEEDS = count(time.time_ns() // 1_000_000 % 2**31)
"""A seed for each cell: what another one, of an earlier run too, has left to share is not found."""


def question(budget: Budget, classes: int | None = None) -> Cell:
    """google → twitter, five shots."""
    suite = load_suite("quick").model_copy(
        update={"methods": ["full-finetune"], "classes": classes, "budget": budget, "seeds": [next(SEEDS)]}
    )
    cells = plan(suite, load_card(suite.dataset))
    return next(cell for cell in cells if cell.scenario.source and cell.scenario.shots == 5)


class Engine:
    """A worker process."""

    def __init__(self, root: Path, setting: Setting) -> None:
        self.store, self.setting = Store(root), setting
        self.store.prepare()
        self._answers: Answers = queue.SimpleQueue()
        self._worker = LocalWorker(self._answers, "bench.executors.worker")
        suite = load_suite("quick").model_copy(update={"methods": ["full-finetune"]})
        card = load_card(suite.dataset)
        self._digests = current_digests(card, suite, [])["full-finetune"]

    def run(self, cell: Cell) -> tuple[float, Record]:
        """Seconds from the request to the record on disk."""
        request = CellRequest(
            cell=cell,
            suite="overhead",
            setting=self.setting,
            digests=self._digests,
            root=self.store.root,
            seen=None,
            share=True,
            artifacts=None,
            devices=(),
            keep_features=False,
        )
        began = time.perf_counter()
        self._worker.send(request)
        while item := self._answers.get():
            answer = ANSWER.validate_json(item[1])
            if isinstance(answer, CellFinished):
                break
            assert isinstance(answer, CellStarted | CellProgress), (answer, self._worker.log_tail())
        seconds = time.perf_counter() - began
        record = self.store.read(cell.key)
        assert record
        assert record.outcome.status == "done", record.outcome.reason
        return seconds, record

    def close(self) -> None:
        """End the worker."""
        self._worker.close()


@dataclass
class Images:
    """Some images in memory, normalised."""

    x: Tensor
    y: Tensor


class ByHand:
    """The same without an engine."""

    def __init__(self, cell: Cell, setting: Setting) -> None:
        """Takes the images of each role into memory, which is not timed."""
        self.cell, self.setting = cell, setting
        dataset = open_dataset(load_card(cell.scenario.dataset))
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in normalisation(cell.backbone))
        specs = stages(cell)
        partitions = open_partitions(cell, dataset, specs, _Domain)
        pixels = {d: dataset.decoded(d, cell.image_size) for d in ("google", "twitter")}

        def images(items: View) -> Images:
            assert isinstance(items.inputs, _Domain)
            x = torch.from_numpy(pixels[items.inputs.name][items.subset.rows]).permute(0, 3, 1, 2) / 255
            x = ((x - mean) / std).contiguous(memory_format=torch.channels_last)
            return Images(x, torch.from_numpy(items.subset.labels))

        assert partitions.pool
        self.source, self.shots = (images(partitions.of(spec.labelled)) for spec in specs)
        held_out = {name: images(items) for name, items in partitions.held_out.items()}
        self.pool = images(partitions.pool)
        self.before = [held_out["source-validation"], held_out["target-validation"]]
        self.judged = [*held_out.values(), self.pool]

    def run(self) -> tuple[float, float]:
        """Seconds, and those of building the network."""
        torch.set_num_threads(self.setting.threads)
        budget = self.cell.budget
        began = time.perf_counter()
        net = self._network()
        built = time.perf_counter() - began
        self._judge(net, self.before)
        self._stage(net, self.source, budget.steps, evaluations=0)
        self._stage(net, self.shots, budget.target_steps, budget.evaluations)
        return time.perf_counter() - began, built

    def step_seconds(self) -> float:
        """Of a step of the source stage, about."""
        torch.set_num_threads(self.setting.threads)
        net, seconds = self._network(), []
        for _ in range(2):
            began = time.perf_counter()
            self._stage(net, self.source, self.cell.budget.steps, evaluations=0)
            seconds.append((time.perf_counter() - began) / self.cell.budget.steps)
        return min(seconds)

    def _network(self) -> nn.Module:
        backbone = create_backbone(self.cell.backbone)
        head = nn.Linear(backbone.num_features, len(self.cell.scenario.target_classes))
        return nn.Sequential(backbone, head).to(memory_format=torch.channels_last)

    def _stage(self, net: nn.Module, images: Images, steps: int, evaluations: int) -> None:
        method, size = GradientMethod(), self.cell.budget.batch_size
        parameters = list(net.parameters())
        decayed = [p for p in parameters if p.ndim > 1]
        optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": method.weight_decay},
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=method.learning_rate,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: method.schedule(step / steps))
        when = {round(steps * (i + 1) / evaluations) for i in range(evaluations)}
        passes = math.ceil(steps * size / len(images.y))
        order = torch.cat([torch.randperm(len(images.y)) for _ in range(passes)])
        net.train()
        for step in range(steps):
            rows = order[step * size : (step + 1) * size]
            loss = functional.cross_entropy(net(moved(images.x[rows])), images.y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step + 1 in when:
                self._judge(net, self.judged)
                net.train()

    def _judge(self, net: nn.Module, parts: list[Images]) -> None:
        net.eval()
        with torch.inference_mode():
            for images in parts:
                found = torch.cat([net(x) for x in images.x.split(64)])
                if len(found):
                    float((found.argmax(1) == images.y).float().mean())


@dataclass(frozen=True)
class _Domain:
    """A domain's name in the place of its images."""

    name: str

    def take(self, rows: Any, augment_seed: int | None = None) -> Tensor:
        raise NotImplementedError


def moved(x: Tensor) -> Tensor:
    """Each image shifted by at most a tenth and mirrored or not: (B, 3, S, S)."""
    size, pad = x.shape[-1], max(1, x.shape[-1] // 10)
    padded = functional.pad(x, (pad,) * 4, mode="replicate")
    top, left = torch.randint(0, 2 * pad + 1, (2, len(x))).tolist()
    out = torch.stack([padded[i, :, top[i] : top[i] + size, left[i] : left[i] + size] for i in range(len(x))])
    mirrored = torch.rand(len(x)) < 0.5
    out[mirrored] = out[mirrored].flip(3)
    return out.contiguous(memory_format=torch.channels_last)


Seconds = dict[str, list[float]]


def compare(engine: Engine, cell: Cell, repeats: int) -> Seconds:
    """Seconds of both in turn, of what the engine says of its phases, and of building by hand."""
    hand = ByHand(cell, engine.setting)
    found: Seconds = {"engine": [], "by hand": [], "building": []}
    for _ in range(repeats):
        seconds, building = hand.run()
        found["by hand"].append(seconds)
        found["building"].append(building)
        seconds, record = engine.run(cell.model_copy(update={"seed": next(SEEDS)}))
        found["engine"].append(seconds)
        for phase, own in {**record.cost.seconds, "rest": seconds - record.cost.own_seconds}.items():
            found.setdefault(f"  {phase}", []).append(own)
    return found


def show(title: str, found: Seconds) -> None:
    """Medians in milliseconds; quartiles of the difference of neighbours, whose pace is about the same."""
    print(f"{title}, {len(found['engine'])} times")
    for name, seconds in found.items():
        print(f"  {name:20s} {1000 * median(seconds):10.1f} ms")
    pairs = np.array([found["engine"], found["by hand"]])
    for name, values, unit in (
        ("difference", 1000 * (pairs[0] - pairs[1]), "ms"),
        ("", 100 * (pairs[0] / pairs[1] - 1), "% "),
    ):
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        print(f"  {name:20s} {middle:+10.1f} {unit}  ({low:+.1f} to {high:+.1f})", flush=True)


def main() -> None:
    """Both comparisons."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the whole cell; 0: only the tiny one")
    parser.add_argument("--repeats", type=int, default=1, help="of the whole cell")
    said = parser.parse_args()
    setting = Setting(threads=default_threads())
    with tempfile.TemporaryDirectory() as root, contextlib.closing(Engine(Path(root), setting)) as engine:
        tiny = question(Budget(steps=1, batch_size=4, evaluations=1), TINY_CLASSES)
        compare(engine, tiny, 1)
        show("a cell of 1 + 1 steps", compare(engine, tiny, REPEATS))
        if said.seconds:
            few = question(Budget(steps=8, batch_size=32, evaluations=1))
            each = ByHand(few, setting).step_seconds()
            steps = max(8, round(said.seconds / (1.5 * each)))
            cell = question(Budget(steps=steps, batch_size=32, evaluations=4))
            show(f"a cell of {steps} + {cell.budget.target_steps} steps", compare(engine, cell, said.repeats))


if __name__ == "__main__":
    main()
