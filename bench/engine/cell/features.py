"""Inputs of a cell: items, or features that a frozen part of the network makes of them, kept and shared."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch.nn import functional

from bench.core.digest import combine
from bench.core.seeds import stream
from bench.data.dataset import Dataset
from bench.data.splits import SPLITS, TEST, TRAIN, splits, subset
from bench.engine.cell.env import CellEnv
from bench.engine.evaluation.predict import at_once, filled, in_order
from bench.engine.training.artifacts import Made
from bench.engine.training.generators import apart
from bench.engine.training.inputs.base import Inputs, InputsRequest, KeptInputs, in_batches
from bench.engine.training.inputs.make import FITTED, INPUTS
from bench.engine.training.loop import autocast
from bench.networks.backbones.base import Backbone
from bench.networks.fuse import fuse_batch_norm
from bench.networks.hub.files import UNTRAINED
from bench.networks.split import Prefix
from bench.processes.memory import in_parts
from bench.spec.scenarios import stages as stages_of

Job = tuple[np.ndarray, int | None]
"""Rows of a domain, and the seed by which they are augmented; None: as they are."""


@dataclass(frozen=True)
class Frozen:
    """Part of a network that stays as it is, below a split point, and the domain that it sees."""

    domain: str
    backbone: Backbone
    split_point: str


class DomainInputs:
    """Inputs of a cell by domain. Features of a frozen part are shared between cells.

    Features of the items as they are serve every seed and any number of views. Views are a seed's own, and
    made when a batch asks for the first of them: a domain that nothing trains on step by step has none.
    """

    def __init__(self, env: CellEnv, dataset: Dataset) -> None:
        self.env, self.dataset = env, dataset

    def get(self, domain: str, backbone: Backbone, split_point: str | None, views: int) -> Inputs:
        """Items, or the features that the part of the backbone below the split point makes of them."""
        if split_point is None:
            return self._items(domain)
        return self._features(domain, backbone, split_point, views)

    def _items(self, domain: str) -> Inputs:
        cell, setting = self.env.cell, self.env.setting
        request = InputsRequest(
            decoded=self.dataset.decoded(domain, cell.image_size, self.env.progress),
            size=cell.image_size,
            backbone=cell.backbone,
            augment=cell.augment,
            device=torch.device(setting.device),
            channels_last=setting.channels_last,
            reference=self._reference,
        )
        return INPUTS[cell.modality](request)

    def _reference(self) -> np.ndarray:
        """Training items of the sources; where there is none, those of the target."""
        cell, (domains, classes, part) = self.env.cell, self._taught
        items = [
            self.dataset.decoded(domain, cell.image_size, self.env.progress)[
                subset(self.dataset, domain, classes, part).rows
            ]
            for domain in domains
        ]
        return np.concatenate(items)

    @property
    def _taught(self) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """Domains and classes that the first stage trains on, and the split of them."""
        items = stages_of(self.env.cell)[0].labelled
        assert items is not None, "the first stage has labels"
        return items.domains, items.classes, "all" if self.env.cell.unsplit else TRAIN

    def _features(self, domain: str, backbone: Backbone, split_point: str, views: int) -> KeptInputs:
        cell, items = self.env.cell, len(self.dataset.domains[domain].names)
        # Where methods adapt to test images, those are augmented too.
        seen = SPLITS if cell.unsplit else (TRAIN, TEST) if cell.transductive else (TRAIN,)
        augmented = [SPLITS.index(split) for split in seen]
        trained = np.flatnonzero(np.isin(splits(self.dataset, self.dataset.domains[domain]), augmented))
        about = [
            self.env.digests.without_method.model_dump_json(),
            f"{domain} {cell.image_size} {cell.backbone} {cell.precision} {split_point}",
            self.env.setting.model_dump_json(),
        ]
        if cell.modality in FITTED:
            about.append(repr(self._taught))
        if cell.backbone.endswith(f".{UNTRAINED}"):
            # Such weights are drawn by the run seed.
            about.append(str(cell.seed))
        frozen = Frozen(domain, backbone, split_point)
        clean = self._kept("features", combine(*about), frozen, [(np.arange(items), None)])[0]
        if not views or cell.augment == "none":
            return KeptInputs(clean)

        @cache
        def drawn() -> torch.Tensor:
            key = combine(*about, f"{views} {cell.augment} {cell.seed} {len(augmented)}")
            jobs = [(trained, stream(cell.seed, "view", view)) for view in range(views)]
            # In the midst of a stage, whose draws are the same whether these are made now or found.
            with apart(cell.seed):
                return self._kept("views", key, frozen, jobs)

        places = np.full(items, -1)
        places[trained] = np.arange(len(trained))
        return KeptInputs(clean, drawn, places)

    def _kept(self, phase: str, key: str, frozen: Frozen, jobs: Sequence[Job]) -> torch.Tensor:
        """Activations of each job, made or found: (jobs, rows, ...) on the device."""
        device, tracker = self.env.setting.device, self.env.cost_tracker

        def make() -> Made:
            items = self._items(frozen.domain)
            network = copy.deepcopy(frozen.backbone).eval().to(device)
            if self.env.setting.channels_last:
                network.to(memory_format=torch.channels_last)
            first = items.take(np.arange(1))
            prefix = Prefix(fuse_batch_norm(network, lambda network: network(first)), frozen.split_point)
            out = []
            with tracker.timed(phase) as seconds, torch.inference_mode():
                for done, (rows, seed) in enumerate(jobs):
                    self.env.progress(f"{phase} of {frozen.domain}", done, len(jobs))
                    out.append(self._run(prefix, items, rows, seed))
            return {"activations": torch.stack(out)}, {"seconds": seconds()}

        tensors, notes, made = self.env.artifacts.get(phase, key, make)
        if not made:
            tracker.add_shared(phase, notes["seconds"])
        return tensors["activations"].to(device)

    def _run(self, prefix: Prefix, items: Inputs, rows: np.ndarray, seed: int | None) -> torch.Tensor:
        """Activations (rows, ...) of one view."""

        def computed(x: torch.Tensor) -> torch.Tensor:
            with autocast(x.device, self.env.cell.precision):
                activation = prefix(x).float().contiguous()
            # Of one length, whatever the longest of a batch was.
            missing = (
                self.env.cell.image_size - activation.shape[1]
                if items.lengths is not None and activation.ndim == 3
                else 0
            )
            return functional.pad(activation, (0, 0, 0, missing)) if missing else activation

        out: list[torch.Tensor] = []
        batch = at_once(items, torch.device(self.env.setting.device))
        places: list[np.ndarray] = []
        for at, part in in_batches(items, rows, batch, seed):
            places.append(at)
            out += in_parts(computed, filled(part, batch))
        return in_order(torch.cat(out), places)
