"""A cell trained by several processes, each on a device of its own, which share every batch.

All of them take the same steps from the same state. Each takes a slice of every batch, losses are weighted by
the slices' shares, and their gradients summed: where a loss is a mean over the rows of a batch, that is the
whole batch's gradient, however uneven the slices are (synchronous data parallelism as in Li et al. 2020,
https://arxiv.org/abs/2006.15704).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn

from bench.core.errors import CellFailed, CellSkipped
from bench.core.seeds import stream
from bench.engine.training.artifacts import Made, pack, plain, unpack
from bench.engine.training.loop_state import LoopState
from bench.method.base import Model
from bench.method.batch import Batch, StageName

PATIENCE = timedelta(days=7)
"""For which the others wait for the first: evaluations may take long. One that dies is noticed otherwise."""


class SingleProcess:
    """A process's part in training: here all of it."""

    rank, size = 0, 1

    @property
    def leads(self) -> bool:
        """True if it is the one that validates, evaluates and keeps checkpoints."""
        return self.rank == 0

    def same_state(self, model: Model) -> None:
        """Give a network the state that the first rank's has."""

    def same_loop(self, loop: LoopState) -> None:
        """Put a loop where the first rank's is."""

    def of(self, batch: Batch, step: int) -> Batch:
        """Share of this process in a step's batch."""
        return batch

    def weighted(self, loss: Tensor) -> Tensor:
        """Weight the mean loss of this process's share, (), as it counts in the whole batch's, ()."""
        return loss

    def combine(self, loss: Tensor, model: Model) -> Tensor:
        """Turn the gradient of what one's own part adds, in the parameters, into that of the whole batch.

        Args:
            loss: () what one's own part adds.
            modules: what is trained.

        Returns:
            () the loss of the whole batch.
        """
        return loss


class Rank(SingleProcess):
    """One of several: gradients go through torch.distributed, what is said once through files."""

    def __init__(self, rank: int, size: int, device: torch.device, seed: int, folder: Path) -> None:
        """Join the others, which all share a folder.

        Args:
            rank: 0 leads.
            size: number of processes.
            device: of this process; says through which library they speak (NCCL for CUDA, gloo for a CPU).
            seed: of what the ranks but the first draw while they train, as for dropout.
            folder: empty at first.
        """
        self.rank, self.size = rank, size
        self._device, self._seed, self._folder = device, seed, folder
        self._told, self._share = 0, 1.0
        if loopback := _loopback():
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
        dist.init_process_group(
            dist.get_default_backend_for_device(device),
            store=dist.FileStore(str(folder / "store"), size),
            rank=rank,
            world_size=size,
            timeout=PATIENCE,
        )

    @staticmethod
    def leave() -> None:
        """Speak to the others no more; nothing where there was nobody."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def same_state(self, model: Model) -> None:
        """Give a network the state that the first rank's has."""
        if found := self._tell(lambda: (model.state_dict(), {})):
            model.load_state_dict(found[0])

    def same_loop(self, loop: LoopState) -> None:
        """Put a loop where the first rank's is."""
        if found := self._tell(loop.state_dict):
            loop.load_state_dict(*found)

    def of(self, batch: Batch, step: int) -> Batch:
        """Slice of every stream of a batch for this rank."""
        mine = batch.slice(self.rank, self.size)
        self._share = len(mine) / len(batch)
        if self.rank:
            # Else all ranks would drop the same units; by the step, since the others' streams are not kept.
            torch.manual_seed(stream(self._seed, "rank", self.rank, step))
        return mine

    def weighted(self, loss: Tensor) -> Tensor:
        """Weight the loss by the share.

        Before gradients are taken: synchronised batch norm adds up those of all ranks in its midst.
        """
        return loss * self._share

    def combine(self, loss: Tensor, model: Model) -> Tensor:
        """Sum loss and gradients over the ranks in one operation."""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([loss.reshape(1), *(gradient.reshape(-1) for gradient in gradients)])
        dist.all_reduce(flat)
        total, *summed = flat.split([1, *(gradient.numel() for gradient in gradients)])
        for gradient, found in zip(gradients, summed, strict=True):
            gradient.copy_(found.view(gradient.shape))
        return total[0]

    def _tell(self, say: Callable[[], Made]) -> Made | None:
        """Pass tensors and notes of the first rank on; on that one itself None."""
        self._told += 1
        path = self._folder / f"{self._told}.safetensors"
        if self.leads:
            pack(path, *plain(say))
        here = torch.zeros((), device=self._device)
        dist.all_reduce(here)
        here.item()  # On an accelerator, only now have all been there.
        if self.leads:
            return None
        found = unpack(path)
        if found is None:
            raise CellFailed(f"what the first process wrote cannot be read: {path}")
        return found


class ProcessGroup(Protocol):
    """Processes that train a cell's stages."""

    leads: bool

    def stage(self, name: StageName, model: Model) -> AbstractContextManager[SingleProcess]:
        """Train a stage within this block, by the part that it gives.

        Raises:
            CellSkipped: the network cannot be divided.
            CellFailed: another process of the team died.
        """

    def close(self) -> None:
        """The cell is over."""


class SingleProcessGroup:
    """One process alone."""

    leads = True

    def stage(self, name: StageName, model: Model) -> AbstractContextManager[SingleProcess]:
        """All of it."""
        return nullcontext(SingleProcess())

    def close(self) -> None:
        """Release no resources: none are held."""


def _loopback() -> str | None:
    """The network interface that no other machine reaches: all of a team are on one."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == "127.0.0.1" for address in addresses):
            return name
    return None


def check_statistics(model: nn.Module) -> None:
    """Raise `CellSkipped` if a network in training mode normalises by its own slice of a batch.

    Batch norm is synchronised where torch can (`backbones.synchronised`), which is not on a CPU.
    """
    for name, module in model.named_modules():
        batchwise = isinstance(module, nn.modules.batchnorm._BatchNorm)
        # Other layers with statistics of the batch, as timm's EvoNorm B0, keep them under the same name.
        batchwise |= getattr(module, "running_var", None) is not None
        if module.training and batchwise and not isinstance(module, nn.SyncBatchNorm):
            raise CellSkipped(
                f"the batch norm '{name}' would see one device's part of each batch: use a network without, "
                "a method that freezes it, an accelerator, or devices_per_cell = 1"
            )
