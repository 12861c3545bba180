"""NAS-lite: search how to attach to a pretrained network, by weight sharing and successive halving.

Guo et al. 2020, "Single Path One-Shot Neural Architecture Search with Uniform Sampling" (one set of weights
that all members of the space share). https://arxiv.org/abs/1904.00420
Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization"
(successive halving). https://arxiv.org/abs/1502.07943
Rebuffi et al. 2017, "Learning multiple visual domains with residual adapters".
https://arxiv.org/abs/1705.08045
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from itertools import product
from typing import cast

import torch
from torch import Tensor, nn

from bench.api import (
    Backbone,
    Batch,
    CellSkipped,
    Details,
    GradientMethod,
    Labelled,
    Model,
    Task,
    UserError,
    tunable,
)

TAPS = ("top", "cut", "both")
HEADS = ("linear", "mlp", "cosine")
ADAPTERS = (0, 16, 64)


Trunk = tuple[bool, int]
"""True if the stages above the split point learn, and the width of the adapters."""


@dataclass(frozen=True)
class Member:
    """Member of the search space: features, whether stages above the split point learn, adapters, head."""

    tap: str
    unfreeze: bool
    adapter: int
    head: str

    @property
    def trunk(self) -> Trunk:
        """Way through the network, which members share."""
        return self.unfreeze, self.adapter


SPACE = tuple(
    Member(*choice)
    for choice in product(TAPS, (False, True), ADAPTERS, HEADS)
    # Below the split point nothing learns, so a tap there has no stages above it to unfreeze.
    if not (choice[0] == "cut" and choice[1])
)


class NasLite(GradientMethod):
    """Trains candidates over shared weights, halves them by held-out accuracy, trains the winner.

    What is dear is the way through the network; heads are cheap. So trunks (adapters, and whether stages
    learn) take turns, a step each, and all candidates on a trunk learn from the same pass through it.
    """

    reference = "hand-computed case"
    views = 4
    hold_out = 0.33
    per_sample_loss = True
    control = {"candidates": 1}
    bounds = {"candidates": f">= 1, <= {len(SPACE)}", "search": "> 0, < 1", "width": ">= 1"}

    learning_rate: float = tunable(3e-3, 1e-4, 1e-2)
    candidates: int = len(SPACE)
    """Members of the search space that the search begins with, drawn at random; 1 is a random member."""
    search: float = tunable(0.3, 0.2, 0.8, log=False)
    """Share of a stage after which one candidate is left."""
    width: int = 256
    """Width of the hidden layer of the `mlp` head."""

    def split_point(self, backbone: Backbone) -> str:
        """Split point behind the last stage but one."""
        return backbone.stages[-2]

    def build(self, backbone: Backbone, task: Task) -> Model:
        """Build the shared weights of all candidates."""
        generator = torch.Generator().manual_seed(task.seed)
        order = torch.randperm(len(SPACE), generator=generator).tolist()
        return Supernet(backbone, order[: self._begin()], len(task.classes), self.width)

    def replace_head(self, model: Model, task: Task) -> None:
        """New heads of every kind, for other classes; the architecture stays."""
        net = cast(Supernet, model)
        net.head = Heads(net.sizes, len(task.classes), self.width)

    def validate_at(self, model: Model) -> tuple[float, ...]:
        """Equally spaced moments until one candidate is left, each of which halves their number."""
        rounds = (len(cast(Supernet, model).candidates()) - 1).bit_length()
        return tuple(self.search * (i + 1) / rounds for i in range(rounds))

    def on_validation(self, model: Model, held_out: Labelled, progress: float) -> None:
        """Keep the better half of the candidates by held-out accuracy; of equal ones the lower loss."""
        net = cast(Supernet, model)
        ranked = []
        with torch.no_grad():
            for trunk, places in net.trunks().items():
                features = [net.features_of(trunk, x) for x in held_out.x.split(256)]
                for place in places:
                    logits = torch.cat([net.logits(part, SPACE[place]) for part in features])
                    right = (logits.argmax(1) == held_out.y).float().mean()
                    loss = nn.functional.cross_entropy(logits, held_out.y)
                    ranked.append((-float(right), float(loss), place))
        net.keep([place for _, _, place in sorted(ranked)[: (len(ranked) + 1) // 2]])

    def loss(self, model: Model, batch: Batch, progress: float) -> Tensor:
        """Mean cross-entropy of the candidates on the trunk whose turn it is."""
        net = cast(Supernet, model)
        trunk, places = net.next()
        features = net.features_of(trunk, batch.x)
        losses = [nn.functional.cross_entropy(net.logits(features, SPACE[p]), batch.y) for p in places]
        return torch.stack(losses).mean()

    def predict(self, model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features of the first candidate left."""
        net = cast(Supernet, model)
        member = SPACE[net.candidates()[0]]
        features = net.features_of(member.trunk, x)
        return net.logits(features, member), features[member.tap]

    def report(self, model: Model) -> Details:
        """Architecture found."""
        left = cast(Supernet, model).candidates()
        return {"architecture": asdict(SPACE[left[0]]), "candidates left": len(left)}

    def _begin(self) -> int:
        if not 1 <= self.candidates <= len(SPACE):
            raise UserError(f"candidates = {self.candidates}: the search space has 1 to {len(SPACE)} members")
        return self.candidates


class Supernet(Model):
    """All members of the space over one set of weights, some of which are still candidates."""

    def __init__(self, backbone: Backbone, candidates: list[int], classes: int, width: int) -> None:
        shape, axis = backbone.input_shape, backbone.channel_axis
        assert shape is not None
        if axis is None:
            raise CellSkipped(
                "nas-lite attaches to the channels at the split point, and which axis they are of the "
                f"activations {shape} of one image there, this network does not say"
            )
        channels = shape[axis - 1]
        self.sizes = {"top": backbone.num_features, "cut": channels, "both": backbone.num_features + channels}
        super().__init__(backbone, Heads(self.sizes, classes, width))
        self.frozen = copy.deepcopy(backbone).eval().requires_grad_(False)
        self.adapters = nn.ModuleDict({str(n): Adapter(channels, n, axis) for n in ADAPTERS if n})
        # Not on the device, which each step would have to wait for.
        self._candidates: list[int] = []
        self.keep(candidates)
        self._turn = 0

    def get_extra_state(self) -> Tensor:
        """State (1 + members,): the turn, and 1 for each candidate, for a stage that goes on elsewhere."""
        alive = torch.zeros(len(SPACE), dtype=torch.int64)
        alive[self._candidates] = 1
        return torch.cat([torch.tensor([self._turn]), alive])

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from there."""
        turn, *alive = state.tolist()
        self._turn = turn
        self.keep([place for place, there in enumerate(alive) if there])

    def train(self, mode: bool = True) -> Supernet:
        """Set the mode of all but the frozen stages."""
        super().train(mode)
        self.frozen.eval()
        return self

    def keep(self, candidates: list[int]) -> None:
        """Let only these members go on."""
        self._candidates = sorted(candidates)

    def candidates(self) -> list[int]:
        """Places in `SPACE` of the members that are left."""
        return [*self._candidates]

    def trunks(self) -> dict[Trunk, list[int]]:
        """Places of the candidates by the trunk that they share."""
        found: dict[Trunk, list[int]] = {}
        for place in self.candidates():
            found.setdefault(SPACE[place].trunk, []).append(place)
        return found

    def next(self) -> tuple[Trunk, list[int]]:
        """Trunk whose turn it is, and the places of the candidates on it."""
        trunks = list(self.trunks().items())
        self._turn += 1
        return trunks[self._turn % len(trunks)]

    def features_of(self, trunk: Trunk, x: Tensor) -> dict[str, Tensor]:
        """Features of a trunk by tap: activations at the split point (B, ...) -> (B, sizes[tap]) each."""
        unfreeze, adapter = trunk
        if adapter:
            adapted = self.adapters[str(adapter)](x)
            there = cast(Backbone, self.backbone).there(x)
            x = adapted if there is None else adapted * there
        low = cast(Backbone, self.backbone).place_mean(x)
        if not any(SPACE[place].tap != "cut" for place in self.trunks().get(trunk, ())):
            return {"cut": low}
        top: Tensor = (self.backbone if unfreeze else self.frozen)(x)
        return {"top": top, "cut": low, "both": torch.cat([top, low], 1)}

    def logits(self, features: dict[str, Tensor], member: Member) -> Tensor:
        """(B, classes) through the member's own head."""
        heads = cast(Heads, self.head)
        out: Tensor = heads.of[f"{member.tap} {member.head}"](features[member.tap])
        return out


class Heads(nn.Module):
    """Heads of every kind for every tap."""

    def __init__(self, sizes: dict[str, int], classes: int, width: int) -> None:
        super().__init__()
        kinds = {
            "linear": lambda size: nn.Linear(size, classes),
            "mlp": lambda size: nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, classes)),
            "cosine": lambda size: Cosine(size, classes),
        }
        self.of = nn.ModuleDict({f"{tap} {head}": kinds[head](sizes[tap]) for tap in TAPS for head in HEADS})


class Cosine(nn.Module):
    """Head whose logits are scaled cosines between features and class vectors (Gidaris & Komodakis 2018)."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, size) / size**0.5)
        self.scale = nn.Parameter(torch.tensor(16.0))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, classes)."""
        return self.scale * nn.functional.normalize(x) @ nn.functional.normalize(self.weight).T


class Adapter(nn.Module):
    """x + up(relu(down(x))) over the channels, which are along one axis; the identity at first."""

    def __init__(self, channels: int, width: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.down, self.up = nn.Linear(channels, width), nn.Linear(width, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Activations of the same shape, such as (B, C, H, W) or (B, tokens, C)."""
        change = self.up(torch.relu(self.down(x.movedim(self.axis, -1))))
        return x + change.movedim(-1, self.axis)
