"""`bench init`: a suite for one's own images, with what was found in them as comments."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.text import counted, printable
from bench.data.card import Card
from bench.data.own import own_card
from bench.spec.matrix.suite import load_suite

SHOWN = 12
"""Domains and classes that a comment names."""


def write(folder: Path, out: Path | None) -> None:
    """Write the suite, and say how to run it.

    Raises:
        UserError: there are no images in the folder, or the file exists or cannot be written.
    """
    card = own_card(folder)
    if card.modality != "image":
        raise UserError(f"'{folder}' holds no images, for which this writes suites: see bench run --data")
    path = out or Path(f"{card.name}.toml")
    if path.suffix != ".toml":
        raise UserError(f"--out takes a file that ends in .toml, not '{path}'")
    try:
        write_atomically(path, suite_text(card).encode(), exclusive=True)
    except FileExistsError:
        raise UserError(f"'{path}' exists: name another file with --out FILE") from None
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}") from None
    load_suite(str(path))
    for note in card.notes:
        click.echo(printable(f"note: {note}"), err=True)
    click.echo(printable(f"{path}: {card.description} Edit it, then:"))
    click.echo(printable(f"  bench run --suite {shlex.quote(str(path))} --data {shlex.quote(str(folder))}"))


def suite_text(card: Card) -> str:
    """Suite file for a card of own images: pairs of its domains, or new classes of its only one."""
    several = len(card.domains) > 1
    asks = _pairs(card) if several else TASKS
    usual = load_suite("own-images" if several else "own-tasks")
    first = "pairs of domains" if several else "new classes"
    return f"""# A suite for your images: {printable(card.name)}.
# bench run --suite THIS --data FOLDER runs it, with --plan it says what would run. All keys: bench schema.

description = "My images: {first}, without target labels where that can be, and with a few."

# {counted(len(card.domains), "domain")}: {_listed(card.domains)}
# {counted(len(card.classes), "class", "classes")}, the largest first: {_listed(card.classes)}
# classes = 10                  # the first ten alone; or names: ["…", "…"]

image_size = 224                # smaller is faster: 96 takes about a fifth of the time
backbones = ["tf_efficientnet_lite0"]   # ImageNet, in a package; bench list backbones; or FILE of yours

# bench list methods; bench show NAME says what one is. Patterns and families work too: "family:alignment".
methods = [{", ".join(f'"{name}"' for name in usual.methods)}]
baseline = "{usual.baseline}"       # what gains are measured against
# controls = true               # run each method's recipe without its idea beside it
seeds = [0]                     # [0, 1, 2] says how much runs differ, and takes three times as long

[budget]
steps = 300                     # of the source stage; the target stage has half as many
batch_size = 32
evaluations = 4                 # of each stage; a rule that knows no target label may choose one
{asks}"""


TASKS = """
# Half of the classes are the source, half the target: what does training on the one help with the other?
[[scenarios]]
kind = "cross-task"
shots = [5]                     # labelled target images per class

# The pretrained network alone, on the same classes.
[[scenarios]]
kind = "pretrained"
target_classes = "new"
shots = [5]
"""


def _pairs(card: Card) -> str:
    source, target = (toml(name) for name in card.domains[:2])
    return f"""
# From one domain with labels to another. Without the two lines of names: all ordered pairs.
[[scenarios]]
kind = "cross-domain"
# sources = [{source}]
# targets = [{target}]
shots = [0, 5]                  # labelled target images per class: none, five; "all" is the upper bound

# The pretrained network alone, without a source: is the source worth anything?
[[scenarios]]
kind = "pretrained"
shots = [5]
"""


def toml(text: str) -> str:
    """A text as TOML writes it, in a line whatever is in it."""
    special = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(special.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in text) + '"'


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(toml(name) for name in names[:SHOWN]) + more
