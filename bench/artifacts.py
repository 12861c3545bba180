"""What several cells can share: content-addressed tensors on disk, safe to delete at any moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bench.files import write_atomically
from bench.paths import cache_root

Tensors = dict[str, Tensor]


class Artifacts:
    """The shared cache of tensors.

    `get` makes an artifact or reads it; whoever asks first makes it and the others wait.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_root() / "artifacts"

    def get(
        self, kind: str, key: str, make: Callable[[], tuple[Tensors, dict[str, Any]]]
    ) -> tuple[Tensors, dict[str, Any], bool]:
        """Tensors (on the CPU), their notes, and whether they were made now rather than found."""
        path = self.root / kind / f"{key}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _read(path)
        if found:
            return *found, False
        with FileLock(f"{path}.lock"):
            found = _read(path)
            if found:
                return *found, False
            tensors, notes = make()
            tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
            write_atomically(path, save(tensors, metadata={"notes": json.dumps(notes)}))
        return tensors, notes, True


def _read(path: Path) -> tuple[Tensors, dict[str, Any]] | None:
    """An artifact's content; a damaged file is thrown away, so that it is made anew."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, json.loads(file.metadata()["notes"])
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        path.unlink(missing_ok=True)
        return None


def load_into(module: torch.nn.Module, tensors: Tensors, prefix: str) -> None:
    """Load the tensors under a prefix into a module."""
    module.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
