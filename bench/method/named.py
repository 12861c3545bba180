"""Heads for classes that are known by their names alone."""

from __future__ import annotations

from importlib.util import find_spec

from torch import Tensor, nn

from bench.method.base import Method, Model
from bench.method.batch import Access, Task
from bench.networks.names import name_vectors


class NamesHead(nn.Module):
    """Head whose logits say how well projected features match the vectors of classes' names (classes, E)."""

    names: Tensor

    def __init__(self, project: nn.Module, names: Tensor) -> None:
        super().__init__()
        self.project = project
        self.register_buffer("names", names)

    def forward(self, features: Tensor) -> Tensor:
        """Logits: (B, D) -> (B, classes)."""
        out: Tensor = self.project(features) @ self.names.T
        return out


class NamedMethod(Method):
    """Method that learns on the source's classes what images and names have to do with each other.

    What is learnt is the head's `project`; for the target's classes only the names change.
    """

    access = Access.SOURCE_LABELS | Access.CLASS_NAMES
    needs = Access.SOURCE_LABELS | Access.CLASS_NAMES
    control = {"encoder": "tiny_encoder.untrained"}  # names without meaning

    encoder: str = "minilm"
    """Encoder of texts that makes vectors of names."""

    @classmethod
    def unavailable(cls) -> str | None:
        """Library that reads the encoder's words."""
        return None if find_spec("tokenizers") else "needs tokenizers: pip install 'transfer-bench[text]'"

    def project(self, num_features: int, width: int) -> nn.Module:
        """Make what takes features (B, D) to the vectors of names (B, E)."""
        return nn.Linear(num_features, width)

    def new_head(self, num_features: int, task: Task) -> nn.Module:
        """Make a head for the classes of a task, by their names."""
        names = name_vectors(task.classes, self.encoder)
        return NamesHead(self.project(num_features, names.shape[1]), names)

    def replace_head(self, model: Model, task: Task) -> None:
        """Put other names in the place of those that are there."""
        model.head.names = name_vectors(task.classes, self.encoder)
