"""Files of encoders in repositories of the hub, in the form of the library transformers. No torch here.

Nothing of a repository is executed, and no pickle is read.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bench.core.errors import UserError
from bench.core.text import counted

HUB_ENCODER = "transformers:"
"""Beginning of the names of repositories in the form of the library transformers."""

UNTRAINED = "untrained"
"""Tag of a network at random initialisation, as in `tf_efficientnet_lite0.untrained`."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"
PICKLE, SHARDS = "pytorch_model.bin", "model.safetensors.index.json"
MOST_CONFIG, MOST_WEIGHTS = 2**20, 16 * 2**30
"""Largest files in bytes."""

F = TypeVar("F", bound=BaseModel)

NAME = re.compile(r"[\w.-]+/[\w.-]+(@([\w.-]+|refs/pr/\d+))?")
"""Repository, and perhaps a branch, a tag, a commit or a proposed change."""


class OutOfReach(UserError):
    """Error of a file that cannot be fetched, or is not in the repository."""


def architecture(name: str) -> str:
    """Name of an encoder without the tag that says that it is untrained."""
    return name.removesuffix(f".{UNTRAINED}")


def of_hub(name: str) -> bool:
    """True if a network is named by a repository in the form of the library transformers."""
    return name.startswith(HUB_ENCODER)


def check_name(name: str) -> None:
    """Check the form of such a name; whether there is such a repository is not asked.

    Raises:
        UserError: it is another.
    """
    if not NAME.fullmatch(architecture(name).removeprefix(HUB_ENCODER)):
        raise UserError(f"'{name}' names no repository of the hub: {HUB_ENCODER}OWNER/NAME[@REVISION]")


def path_of(name: str, file: str, most: int) -> Path:
    """Path of a file of a repository, fetched where it is not in the hub's cache.

    Raises:
        OutOfReach: it cannot be had.
        UserError: it is larger than `most` bytes.
    """
    from huggingface_hub import hf_hub_download

    bare = architecture(name)
    repository, revision = _place(bare)
    try:
        path = Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:
        # Hub clients fail in many ways: one line for all.
        reason = _other_weights(repository, revision) if file == WEIGHTS else ""
        if reason:
            raise OutOfReach(f"cannot read the weights of '{bare}': {reason}") from None
        raise OutOfReach(f"cannot fetch '{file}' of '{bare}' from the hub ({line(error)})") from None
    if path.stat().st_size > most:
        size = counted(most >> 20, "MiB", "MiB")
        raise UserError(f"refused: '{file}' of '{bare}' has more than {size}")
    return path


def model_type(name: str) -> str:
    """What kind of network a repository holds, as its `config.json` says it.

    Raises:
        OutOfReach: it cannot be had.
        UserError: it does not say.
    """
    found = description(architecture(name)).get("model_type")
    if not isinstance(found, str):
        raise UserError(
            f"'{CONFIG}' of '{architecture(name)}' is no description of an encoder: no model_type"
        )
    return found


@lru_cache(maxsize=16)
def description(bare: str) -> dict[str, Any]:
    """Content of `config.json`.

    Raises:
        UserError: it cannot be had or is none.
    """
    return json_of(bare, CONFIG)


def json_of(bare: str, file: str) -> dict[str, Any]:
    """Content of a small file of a repository.

    Raises:
        OutOfReach: it cannot be had.
        UserError: it is no JSON object.
    """
    content = path_of(bare, file, MOST_CONFIG).read_bytes()
    try:
        values = json.loads(content)
        if not isinstance(values, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{file}' of '{bare}' is no description of an encoder: {line(error)}") from None
    return values


def form_of(name: str, kind: type[F]) -> F:
    """Form of the network in a repository, checked.

    Raises:
        UserError: it cannot be had, or is of another kind.
    """
    bare = architecture(name)
    try:
        return kind.model_validate(description(bare))
    except ValidationError as error:
        first = error.errors()[0]
        where, what = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        reason = f"{where}: {what}" if where else what
        raise UserError(f"'{CONFIG}' of '{bare}' is of no network that is read: {line(reason)}") from None


def forget() -> None:
    """Forget the descriptions that were read."""
    description.cache_clear()


def line(error: Any) -> str:
    """An error as one short line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:160]


def _place(bare: str) -> tuple[str, str | None]:
    repository, _, revision = bare.removeprefix(HUB_ENCODER).partition("@")
    return repository, revision or None


def _other_weights(repository: str, revision: str | None) -> str:
    """Reason why there is no file of weights to be read, if the repository's other files tell one."""
    from huggingface_hub import file_exists, try_to_load_from_cache

    reasons = {
        PICKLE: f"they are in '{PICKLE}' alone, a pickle, which is not read: name a revision with "
        f"'{WEIGHTS}', as the hub's conversions (@refs/pr/NUMBER), or a copy that save_pretrained wrote",
        SHARDS: f"they are in several files ('{SHARDS}'), of which none is read: use a smaller network",
    }
    for file, reason in reasons.items():
        if isinstance(try_to_load_from_cache(repository, file, revision=revision), str):
            return reason
    for file, reason in reasons.items():
        try:
            if file_exists(repository, file, revision=revision):
                return reason
        except Exception:
            # The hub is out of reach, and says so in many ways.
            return ""
    return ""
