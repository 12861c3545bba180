"""The images of a cell as its method sees them: pixels, or the frozen network's features of them."""

from __future__ import annotations

from typing import Any

import torch

from bench.artifacts import Artifacts, Tensors
from bench.backbones import UNTRAINED, create_backbone, normalisation
from bench.data.dataset import Dataset, Progress
from bench.digest import combine
from bench.engine import autocast
from bench.evaluate import BATCH
from bench.feed import FeatureInputs, ImageInputs, Inputs, augmentation
from bench.measure import Ledger
from bench.record import Digests
from bench.seeds import stream
from bench.suite import Cell, Setting


class Views:
    """Inputs by domain, for one cell. Frozen features are shared between cells."""

    def __init__(
        self,
        cell: Cell,
        setting: Setting,
        dataset: Dataset,
        digests: Digests,
        artifacts: Artifacts,
        ledger: Ledger,
        progress: Progress,
    ) -> None:
        self.cell, self.setting, self.dataset, self.digests = cell, setting, dataset, digests
        self.artifacts, self.ledger, self.progress = artifacts, ledger, progress

    def get(self, domain: str, features: bool) -> Inputs:
        """Features where the method's backbone is frozen, else images."""
        return self._features(domain) if features else self._images(domain)

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

    def _features(self, domain: str) -> FeatureInputs:
        cell = self.cell

        def make() -> tuple[Tensors, dict[str, Any]]:
            torch.manual_seed(seed)
            net = create_backbone(cell.backbone).eval().to(self.setting.device)
            cost: dict[str, Any] = {"parameters": sum(p.numel() for p in net.parameters())}
            images = self._images(domain)
            rows = torch.arange(len(images.pixels)).split(BATCH)
            out = []
            with self.ledger.spend("features", cost), torch.inference_mode():
                for place, part in enumerate(rows):
                    x = images.take(part.numpy())
                    with autocast(x.device, cell.precision):
                        out.append(net(x).float())
                    self.progress(f"features of {domain}", place + 1, len(rows))
            return {"features": torch.cat(out)}, cost

        seed = stream(cell.seed, "init", "backbone") if cell.backbone.endswith(f".{UNTRAINED}") else 0
        key = combine(
            self.digests.engine,
            self.digests.dataset,
            f"{domain} {cell.image_size} {cell.backbone} {seed} {cell.precision}",
            self.setting.model_dump_json(),
        )
        tensors, cost, made = self.artifacts.get("features", key, make)
        self.ledger.enter("features", cost, shared=not made)
        return FeatureInputs(tensors["features"].to(self.setting.device))
