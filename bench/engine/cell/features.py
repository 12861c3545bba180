"""The images as a method sees them: pixels, or what a frozen part of the network made of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from bench.core.digest import combine
from bench.core.seeds import stream
from bench.data.dataset import Dataset, Progress
from bench.data.splits import SPLITS, TEST, TRAIN, splits
from bench.engine.evaluation.predict import at_once, filled
from bench.engine.training.artifacts import Artifacts, Tensors
from bench.engine.training.batches import ImageInputs, Inputs, KeptInputs, augmentation
from bench.engine.training.cost import CostTracker
from bench.engine.training.loop import autocast
from bench.engine.training.memory import in_parts
from bench.networks.backbones import UNTRAINED, Backbone, normalisation
from bench.networks.fuse import fuse_batch_norm
from bench.networks.split import Prefix
from bench.records.record import Digests
from bench.spec.cell import Cell, Setting


class Views:
    """Inputs by domain, for one cell. What a frozen part computes is shared between cells."""

    def __init__(
        self,
        cell: Cell,
        setting: Setting,
        dataset: Dataset,
        digests: Digests,
        artifacts: Artifacts,
        cost_tracker: CostTracker,
        progress: Progress,
    ) -> None:
        self.cell, self.setting, self.dataset, self.digests = cell, setting, dataset, digests
        self.artifacts, self.cost_tracker, self.progress = artifacts, cost_tracker, progress

    def get(self, domain: str, backbone: Backbone, cut: str | None, views: int) -> Inputs:
        """Images, or what the part of the backbone before the cut makes of them."""
        return self._images(domain) if cut is None else self._kept(domain, backbone, cut, views)

    def _images(self, domain: str) -> ImageInputs:
        cell = self.cell
        mean, std = normalisation(cell.backbone)
        return ImageInputs(
            self.dataset.pixels(domain, cell.image_size, self.progress),
            mean,
            std,
            torch.device(self.setting.device),
            self.setting.channels_last,
            augmentation(cell.augment, cell.image_size),
        )

    def _kept(self, domain: str, backbone: Backbone, cut: str, views: int) -> KeptInputs:
        cell, device = self.cell, self.setting.device
        # Where methods adapt to test images, those are augmented too.
        augmented = [SPLITS.index(split) for split in ((TRAIN, TEST) if cell.transductive else (TRAIN,))]
        trained = np.flatnonzero(np.isin(splits(self.dataset, self.dataset.domains[domain]), augmented))
        views = 0 if cell.augment == "none" else views

        def make() -> tuple[Tensors, dict[str, Any]]:
            images = self._images(domain)
            network = copy.deepcopy(backbone).eval().to(device)
            if self.setting.channels_last:
                network.to(memory_format=torch.channels_last)
            image = images.take(np.arange(1))
            prefix = Prefix(fuse_batch_norm(network, lambda network: network(image)), cut)
            every = np.arange(len(images.pixels))
            jobs = [(every, None), *((trained, stream(cell.seed, "view", view)) for view in range(views))]
            cost: dict[str, Any] = {}
            out = []
            with self.cost_tracker.spend("features", cost), torch.inference_mode():
                for done, (rows, seed) in enumerate(jobs):
                    self.progress(f"features of {domain}", done, len(jobs))
                    out.append(self._run(prefix, images, rows, seed))
            tensors = {"clean": out[0]}
            if views:
                tensors["views"] = torch.stack(out[1:])
            return tensors, cost

        # Views and untrained weights come from the run seed; all else is the same for every seed.
        seed = cell.seed if views or cell.backbone.endswith(f".{UNTRAINED}") else ""
        key = combine(
            self.digests.engine,
            self.digests.dataset,
            f"{domain} {cell.image_size} {cell.backbone} {cell.precision} {cut}",
            f"{views} {cell.augment if views else ''} {seed} {len(augmented) if views else ''}",
            self.setting.model_dump_json(),
        )
        tensors, cost, made = self.artifacts.get("features", key, make)
        self.cost_tracker.enter("features", cost, shared=not made)
        places = np.full(len(self.dataset.domains[domain].names), -1)
        places[trained] = np.arange(len(trained))
        kept = tensors.get("views")
        return KeptInputs(tensors["clean"].to(device), None if kept is None else kept.to(device), places)

    def _run(self, prefix: Prefix, images: ImageInputs, rows: np.ndarray, seed: int | None) -> torch.Tensor:
        """Activations (rows, ...) of one view."""

        def computed(x: torch.Tensor) -> torch.Tensor:
            with autocast(x.device, self.cell.precision):
                return prefix(x).float().contiguous()

        out: list[torch.Tensor] = []
        batch = at_once(images, rows)
        for start in range(0, len(rows), batch):
            part = images.take(rows[start : start + batch], None if seed is None else stream(seed, start))
            out += in_parts(computed, filled(part, batch))
        return torch.cat(out)[: len(rows)]
