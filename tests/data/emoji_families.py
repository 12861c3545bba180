"""Families of emoji that look alike: `python -m tests.data.emoji_families [CARD]` prints the table of a card.

Two emoji of a card (`emoji-home@2`, or `open-emoji`) are of one family where any vendor draws them so alike
that the doctor says so, where Unicode's names for them differ in a colour, in the hour of a clock, or in what
follows a colon, or where a third emoji links them.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict

from bench.core.components import unite
from bench.data.card import CARDS
from bench.data.catalog import load_card
from bench.data.dataset import open_dataset, silent
from bench.data.doctor.duplicates import near_pairs
from bench.data.doctor.scan import scan_images

DEFAULT = "emoji-home@2"
COLOURS = "red|pink|orange|yellow|green|light blue|blue|purple|brown|black|grey|white"
HOURS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
ANY_COLOUR, ANY_HOUR = re.compile(rf"\b({COLOURS}) "), re.compile(rf"^({HOURS})(-thirty| o’clock)$")

HEADER = """\
# Families of emoji that look alike, as any vendor draws or Unicode names them: each is kept in one split.
# From `{command}`. Columns: code points, family (its first emoji), short name.
codepoints\tfamily\tname
"""


def family_name(name: str) -> str:
    """The name that Unicode's short names of a family have in common."""
    return ANY_HOUR.sub("clock", ANY_COLOUR.sub("", name.split(":", maxsplit=1)[0]))


def names() -> dict[str, tuple[str, str]]:
    """Subgroup and short name by code points, as items are called."""
    found = {}
    for line in (CARDS / "emoji-home.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith(("#", "codepoints")):
            code, _, subgroup, name = line.split("\t")
            found["-".join(part for part in code.lower().split("-") if part != "fe0f")] = (subgroup, name)
    return found


def families(name: str) -> dict[str, str]:
    """First of its family by emoji, where the family is more than the variants of one emoji."""
    card = load_card(name)
    plain = [source.model_copy(update={"families": ""}) for source in card.sources]
    dataset = open_dataset(card.model_copy(update={"sources": plain}))
    scan, known = scan_images(dataset, silent), names()
    linked: dict[object, list[str]] = defaultdict(list)
    variants: dict[str, str] = {}
    for domain in dataset.domains.values():
        for code, group in zip(domain.names, domain.groups.tolist(), strict=True):
            variants[code] = domain.group_names[group]
            linked[group].append(code)
            linked[known[code][0], family_name(known[code][1])].append(code)
    for pair in near_pairs(scan.hashes):
        linked[pair] = [dataset.domains[name].names[row] for name, row in pair]
    found = unite(linked.values())
    several = defaultdict(set)
    for code, first in found.items():
        several[first].add(variants[code])
    return {code: first for code, first in sorted(found.items()) if len(several[first]) > 1}


def table(name: str = DEFAULT) -> str:
    """The file beside a card."""
    known = names()
    rows = [f"{code.upper()}\t{first.upper()}\t{known[code][1]}\n" for code, first in families(name).items()]
    command = "python -m tests.data.emoji_families" + f" {name}" * (name != DEFAULT)
    return HEADER.format(command=command) + "".join(rows)


if __name__ == "__main__":
    print(table(*sys.argv[1:2]), end="")
