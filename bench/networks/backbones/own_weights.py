"""Weights of one's own: files that a backbone's name points at, kept in the cache by their content's digest.

`resnet50@best.safetensors` and `local-dir:FOLDER` become `resnet50@<digest>`. So a cell's key says which
weights it is about, and not where they lie; worker processes find them in the cache.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import atomic_file, open_regular
from bench.core.paths import cache_part, writing_to_cache
from bench.networks.hub.files import HUB_ENCODER

LOCAL, HUB = "local-dir:", "hf-hub:"
"""timm's own prefixes: of a folder with `config.json` and weights, and of such a repository."""

HUBS = (HUB, HUB_ENCODER)
"""Beginnings of names of repositories, in which `@` stands before a revision."""

FORMATS = {".safetensors": "model.safetensors"} | dict.fromkeys(
    (".pth", ".pt", ".bin", ".tar"), "pytorch_model.bin"
)
"""Names under which weights are kept, by suffix; those of torch are read as tensors alone, without code."""

CONFIG = "config.json"

DIGEST = re.compile("[0-9a-f]{16}")

MOST_BYTES = 16 * 2**30
"""Largest file of weights in bytes."""

MOST_CONFIG = 2**20


def is_own(name: str) -> bool:
    """True if the weights of a backbone are one's own."""
    return "@" in name and not name.startswith(HUBS)


def resolve(name: str) -> str:
    """Replace the place of one's own weights in a backbone's name by their digest, and cache them.

    Raises:
        UserError: there is no such file or folder, or it is none of timm's form.
    """
    if name.startswith(LOCAL):
        return _kept_folder(Path(name.removeprefix(LOCAL)))
    network, at, place = name.partition("@")
    if name.startswith(HUBS) or not at or DIGEST.fullmatch(place.removesuffix(".untrained")):
        return name
    path = Path(place).expanduser()
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"weights '{place}' of '{network}': a file that ends in {', '.join(FORMATS)}")
    return f"{network}@{_keep({FORMATS[path.suffix.lower()]: path})}"


def kept_weights(name: str) -> Path:
    """Return the file of a name's weights in the cache, beside `config.json` where they came with one.

    Raises:
        UserError: they are not there, or are not what they were.
    """
    network, _, digest = name.partition("@")
    folder = cache_part("own-weights") / digest.removesuffix(".untrained")
    for weights in dict.fromkeys(FORMATS.values()):
        if (folder / weights).is_file():
            files = [path for path in (folder / CONFIG, folder / weights) if path.is_file()]
            if _digest(files) != folder.name:
                shutil.rmtree(folder, ignore_errors=True)
                break
            return folder / weights
    raise UserError(
        f"the weights of '{name}' are not in the cache: name their file once, --backbone {network}@FILE"
    )


def _kept_folder(folder: Path) -> str:
    folder = folder.expanduser()
    weights = next((name for name in dict.fromkeys(FORMATS.values()) if (folder / name).is_file()), None)
    if weights is None:
        raise UserError(f"'{folder}' holds neither {' nor '.join(dict.fromkeys(FORMATS.values()))}")
    try:
        with open_regular(folder / CONFIG) as file:
            config = json.loads(file.read(MOST_CONFIG))
        network = config["architecture"]
        if not isinstance(network, str) or not re.fullmatch(r"\w+", network):
            raise ValueError("'architecture' is no name")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"'{folder / CONFIG}' is no description of a timm network: {error}") from None
    return f"{network}@{_keep({CONFIG: folder / CONFIG, weights: folder / weights})}"


def _keep(files: dict[str, Path]) -> str:
    """Copy files into the cache under the digest of their content, which is returned."""
    try:
        digest = _digest(list(files.values()))
    except OSError as error:
        raise UserError(f"cannot read the weights '{error.filename}': {error.strerror}") from None
    folder = cache_part("own-weights") / digest
    with writing_to_cache():
        for name, path in files.items():
            if not (folder / name).is_file():
                with atomic_file(folder / name) as temporary:
                    shutil.copyfile(path, temporary)
    return digest


def _digest(files: list[Path]) -> str:
    """16 hexadecimal digits over the content of files."""
    whole = hashlib.sha256()
    for path in files:
        with open_regular(path) as file:
            if path.stat().st_size > MOST_BYTES:
                raise UserError(f"refused: '{path}' has more than {MOST_BYTES >> 30} GiB")
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]
