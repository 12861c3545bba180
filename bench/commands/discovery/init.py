"""`bench init`: a suite for one's own items, with what was found in them as comments."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from bench.commands.suite_options import OWN
from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.paths import own_columns, own_modality
from bench.core.text import counted, printable
from bench.data.card import Card
from bench.data.own import own_card
from bench.spec.cell import Recipe
from bench.spec.matrix.suite import Suite, load_suite

SHOWN = 12
"""Domains and classes that a comment names."""


def write(folder: Path, out: Path | None) -> None:
    """Write the suite, and say how to run it.

    Raises:
        UserError: there are no items there, or the file exists or cannot be written.
    """
    card = own_card(folder, own_modality(), own_columns())
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
    words = ["--suite", str(path), "--data", str(folder)]
    for option, named in (*own_columns(), ("modality", own_modality())):
        words += [f"--{option}", named] if named else []
    click.echo(printable(f"  bench run {shlex.join(words)}"))


SIZES = {
    "image": "smaller is faster: 96 takes about a fifth of the time",
    "text": "tokens; what is longer is cut off",
    "audio": "milliseconds: the middle of each",
    "table": "columns: with --data as many as the table has",
    "sequence": "letters; what is longer is cut off",
}
"""What is said of the size of an item, by modality."""


def suite_text(card: Card) -> str:
    """Suite file for a card of own items: pairs of its domains; of one alone new classes, or its labels."""
    several = len(card.domains) > 1
    usual, items = load_suite(OWN[card.modality][not several]), card.kind.items
    tasks = usual.scenarios[0].kind == "cross-task"
    asks = _pairs(card, usual) if several else TASKS if tasks else _alone(card, usual)
    first = "pairs of domains" if several else "new classes" if tasks else "one domain"
    how = "without target labels where that can be, and with a few" if several or tasks else "with labels"
    backbones = ", ".join(toml(name) for name in usual.backbones)
    augment = "" if card.modality == "image" else f'augment = "{usual.augment}"\n'
    return f"""# A suite for your {items}: {printable(card.name)}.
# bench run --suite THIS --data PATH runs it, with --plan it says what would run. All keys: bench schema.

description = "My {items}: {first}, {how}."

# {counted(len(card.domains), "domain")}: {_listed(card.domains)}
# {counted(len(card.classes), "class", "classes")}, the largest first: {_listed(card.classes)}
# classes = 10                  # the first ten alone; or names: ["…", "…"]

{f"image_size = {len(card.columns) or usual.image_size}":<32}# {SIZES[card.modality]}
{augment}backbones = [{backbones}]   # packaged, or built here; bench list backbones; or FILE of yours

# bench list methods; bench show NAME says what one is. Patterns and families work too: "family:alignment".
methods = [{", ".join(f'"{name}"' for name in usual.methods)}]
baseline = "{usual.baseline}"       # what gains are measured against
# controls = true               # run each method's recipe without its idea beside it
seeds = [0]                     # [0, 1, 2] says how much runs differ, and takes three times as long
{_recipe(usual)}
[budget]
{f"steps = {usual.budget.steps}":<32}# of the source stage; the target stage has half as many
batch_size = {usual.budget.batch_size}
evaluations = 4                 # of each stage; a rule that knows no target label may choose one
{asks}"""


def _recipe(usual: Suite) -> str:
    """Table of what the usual suite does otherwise than all methods do; empty where it does nothing so."""
    own = usual.recipe.model_dump(exclude_defaults=True)
    said = {name: field.description for name, field in Recipe.model_fields.items()}
    lines = [f"{f'{name} = {json.dumps(value)}':<32}# {said[name]}" for name, value in own.items()]
    return "\n".join(["", "[recipe]", *lines, ""]) if lines else ""


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


def _pairs(card: Card, usual: Suite) -> str:
    source, target = (toml(name) for name in card.domains[:2])
    few = max(shots for shots in usual.scenarios[0].shots if isinstance(shots, int))
    items, alone = card.kind.items, any(table.kind == "pretrained" for table in usual.scenarios)
    return f"""
# From one domain with labels to another. Without the two lines of names: all ordered pairs.
[[scenarios]]
kind = "cross-domain"
# sources = [{source}]
# targets = [{target}]
{f"shots = [0, {few}]":<32}# labelled target {items} per class: none, {few}; "all" is the upper bound
""" + (_alone(card, usual) if alone else "")


def _alone(card: Card, usual: Suite) -> str:
    """Scenario without a source; networks without pretrained weights learn from the labels alone."""
    shots = next(table.shots for table in usual.scenarios if table.kind == "pretrained")
    written = ", ".join(toml(each) if isinstance(each, str) else str(each) for each in shots)
    return f"""
# The network alone, without a source: is a source worth anything?
[[scenarios]]
kind = "pretrained"
{f"shots = [{written}]":<32}# labelled {card.kind.items} per class
"""


def toml(text: str) -> str:
    """A text as TOML writes it, in a line whatever is in it."""
    special = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(special.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in text) + '"'


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(toml(name) for name in names[:SHOWN]) + more
