"""The state of a training stage as tensors and JSON, so that a stage can go on in another process.

Streams of images are pure functions of the step, and so need no state. What a method remembers from step to
step is in its network's state: parameters, buffers, or `get_extra_state` as a tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.engine.training.artifacts import Notes, Tensors
from bench.engine.training.checkpoints import Checkpoint
from bench.engine.training.generators import plain_state, set_plain_state


class Collected(Protocol):
    """State that evaluations of a stage have left so far."""

    def state_dict(self) -> tuple[Tensors, Notes]:
        """Return it as tensors and JSON."""
        ...

    def load_state_dict(self, tensors: Tensors, notes: Notes) -> None:
        """Restore it."""
        ...


class Resume:
    """Resumption of a stage where its checkpoint left it; it saves how far the stage is.

    `notes` are the stage's own beside the loop's: what it knew before the loop began. `others_follow`: the
    stage's end is saved too, since later stages begin with it.
    """

    def __init__(self, checkpoint: Checkpoint, collected: Collected, others_follow: bool = False) -> None:
        self._checkpoint, self._collected, self._others_follow = checkpoint, collected, others_follow
        self._found = checkpoint.load()
        self.notes: Notes = self._found[1]["stage"] if self._found else {}

    @property
    def found(self) -> bool:
        """True if there is a checkpoint to go on from."""
        return self._found is not None

    def begin(self, loop: LoopState) -> None:
        """Restore a loop from the checkpoint, if there is one."""
        if self._found is None:
            return
        tensors, notes = self._found
        loop.load_state_dict(_under("loop.", tensors), notes["loop"])
        self._collected.load_state_dict(_under("collected.", tensors), notes["collected"])
        self._found = None

    def after_step(self, loop: LoopState) -> None:
        """Save a checkpoint if one is due."""
        if self._checkpoint.due():
            self._save(loop)

    def conclude(self, loop: LoopState) -> None:
        """Save the end of a stage that others follow."""
        if self._others_follow and self._checkpoint.kept:
            self._save(loop)

    def _save(self, loop: LoopState) -> None:
        mine, loop_notes = loop.state_dict()
        theirs, collected_notes = self._collected.state_dict()
        tensors = {f"loop.{n}": t for n, t in mine.items()} | {f"collected.{n}": t for n, t in theirs.items()}
        notes = {"stage": self.notes, "loop": loop_notes, "collected": collected_notes}
        self._checkpoint.save(tensors, notes)


@dataclass
class LoopState:
    """A training loop between two steps."""

    model: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    total: Tensor
    """() sum of losses since the last evaluation."""
    step: int = 0
    """Steps taken."""
    since: int = 0
    """Steps taken at the last evaluation."""
    parts: int = 1
    """Parts in which a batch is taken, for want of memory."""

    def state_dict(self) -> tuple[Tensors, Notes]:
        """Network, optimiser, loss scale, random streams and position."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        # What a stage began with, say: no state of the network, and not to be had again in its middle.
        tensors |= {f"buffers.{name}": tensor for name, tensor in self._other_buffers().items()}
        state = self.optimizer.state_dict()
        plain: dict[str, Notes] = {}
        for number, values in state["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{number}.{name}"] = value
                else:
                    plain.setdefault(str(number), {})[name] = value
        tensors["total"] = self.total
        tensors["random.cpu"] = torch.get_rng_state()
        if self.total.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.total.device)
        return tensors, {
            "step": self.step,
            "since": self.since,
            "parts": self.parts,
            "optimizer": plain,
            "groups": state["param_groups"],
            "scaler": self.scaler.state_dict(),
            "random": plain_state(),
        }

    def load_state_dict(self, tensors: Tensors, notes: Notes) -> None:
        """Restore the state that `state_dict` took of another loop of the same network and optimiser."""
        self.model.load_state_dict(_under("model.", tensors))
        others = _under("buffers.", tensors)
        for name, buffer in self._other_buffers().items():
            buffer.copy_(others[name])
        state: dict[int, Notes] = {int(n): dict(values) for n, values in notes["optimizer"].items()}
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for place, value in _under("optimizer.", tensors).items():
            number, name = place.split(".", 1)
            like = parameters[int(number)]
            # In the parameter's own order in memory, as the optimiser had made it.
            kept = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            state.setdefault(int(number), {})[name] = kept
        groups = [_with_tuples(group) for group in notes["groups"]]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.scaler.load_state_dict(notes["scaler"])
        self.total.copy_(tensors["total"])
        self.step, self.since, self.parts = notes["step"], notes["since"], notes["parts"]
        set_plain_state(notes["random"])
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.total.device)

    def _other_buffers(self) -> Tensors:
        """Buffers that are not in the network's state."""
        state = self.model.state_dict()
        return {name: buffer for name, buffer in self.model.named_buffers() if name not in state}


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _with_tuples(group: Notes) -> Notes:
    """JSON has no tuples, and optimisers have them, as in `betas`."""
    return {k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in group.items()}
