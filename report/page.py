"""One self-contained HTML page from a results folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.files import write_atomically
from bench.selection import HEADLINE, RULES
from bench.store import Store
from bench.suite import Cell, Suite
from report import figures, formats, tables, words
from report.bootstrap import Interval
from report.frame import OBJECTS, STATUSES, accuracy_column, load_frame, shots_order
from report.gains import REFERENCES, architectures, gains
from report.measures import BINS, MEASURES
from report.samples import Samples, png_uri
from report.statistics import Difference, negative_transfer
from report.tables import Leaderboard
from report.trust import trust
from report.validators import correlation, distances, rankings

TEMPLATES = Path(__file__).parent / "templates"
FILTERS = (
    *(formats.percent, formats.points, formats.interval, formats.seconds, formats.several),
    *(formats.probability, formats.count, formats.decimals, formats.listed),
    correlation,
)
BASELINE = str(Suite.model_fields["baseline"].default)


def build(
    store_root: Path | str,
    out: Path | None = None,
    suite: Suite | None = None,
    samples: Samples | None = None,
    *,
    expected: Sequence[Cell] = (),
    source_alone: str | None = None,
) -> Path:
    """Write the page of a results folder and return where: `out`, or `report.html` in the folder.

    Args:
        suite: names the page and the baseline; default: what the records say, and the usual baseline.
        samples: images to show, from the decode cache.
        expected: show exactly these cells, and which of them are missing; default: every record.
        source_alone: the method that stands for the source stage alone at 0 shots; default: the baseline.

    Raises:
        OSError: the page cannot be written. No content of the folder makes it raise.
    """
    frame = load_frame(Store(store_root), expected)
    html = render(frame, str(store_root), suite, samples, source_alone=source_alone)
    target = out or Path(store_root) / "report.html"
    write_atomically(target, html.encode())
    return target


def render(
    frame: pd.DataFrame,
    folder: str = "results",
    suite: Suite | None = None,
    samples: Samples | None = None,
    *,
    source_alone: str | None = None,
) -> str:
    """The page of a frame, as HTML. The same frame gives the same text. See `build`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in FILTERS:
        environment.filters[function.__name__] = function
    baseline = suite.baseline if suite else BASELINE
    alone = source_alone or baseline
    boards = tables.leaderboards(frame, baseline)
    appearance = figures.looks_of(frame["method"].dropna().unique())
    return environment.get_template("page.html").render(
        css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        js=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        title=_title(frame, suite),
        description=suite.description if suite else "",
        counts={status: int((frame["status"] == status).sum()) for status in STATUSES},
        answers=[words.answer(board) for board in boards],
        facts=_facts(frame),
        baseline=baseline,
        boards=[_section(frame, board, appearance) for board in boards],
        harm=_harm(negative_transfer(frame, alone)),
        source_alone=alone,
        shots_curves=[(kind, _picture(p)) for kind, p in figures.shots_curves(frame, appearance)],
        gains=gains(frame),
        references=REFERENCES,
        architectures=architectures(frame),
        rules=RULES,
        measures=MEASURES,
        bins=BINS,
        headline=HEADLINE,
        rankings=rankings(frame),
        distances=distances(frame),
        samples=_samples(samples),
        statuses=STATUSES,
        coverage=list(tables.coverage(frame).itertuples()),
        reasons=list(tables.reasons(frame).itertuples()),
        provenance=list(tables.provenance(frame).itertuples()),
        records=_records(frame, folder),
    )


def _title(frame: pd.DataFrame, suite: Suite | None) -> str:
    names = [suite.name] if suite else sorted(frame["suite"].dropna().unique())
    return formats.listed(names, most=3) or "No results yet"


def _facts(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """What was run: a name and a value for each thing that a reader needs to place the numbers."""
    known = frame[frame["kind"].notna()]

    def values(column: str, unit: str = "") -> str:
        found = sorted(known[column].dropna().unique())
        # A column with gaps holds its whole numbers as floats; `:g` writes them as whole again.
        texts = [value if isinstance(value, str) else f"{value:g}" for value in found]
        return formats.listed([text + unit for text in texts])

    domains = sorted({*known["source"].dropna(), *known["target"].dropna()})
    facts = [
        ("Dataset", values("dataset")),
        ("Domains", formats.listed(domains)),
        ("Classes", values("classes")),
        ("Transfer", "; ".join(block.title for block in tables.blocks(frame))),
        ("Methods", values("method")),
        ("Backbones", values("backbone")),
        ("Seeds", values("seed")),
        ("Images", f"{values('image_size', ' px')}; augmentation {values('augment')}"),
        (
            "Budget",
            f"{values('steps')} steps in the source stage and half as many in the target stage, "
            f"batches of {values('batch_size')}, {values('looks_asked')} looks a stage",
        ),
        ("Precision", values("precision")),
        *_transductive(known),
        ("Run on", f"{values('device') or formats.DASH}; threads: {values('threads') or formats.DASH}"),
    ]
    if "warnings" in known:
        # Stays with the numbers for as long as they are shown.
        texts = {line for text in known["warnings"].dropna().unique() for line in text.splitlines()}
        facts += [("Warning", text) for text in sorted(texts)]
    return facts if len(known) else []


def _transductive(known: pd.DataFrame) -> list[tuple[str, str]]:
    """A warning where methods have adapted to the images that they are tested on."""
    cells = int(known["transductive"].eq(True).sum())
    if not cells:
        return []
    which = "all cells" if cells == len(known) else f"{cells} of {formats.several(len(known), 'cell')}"
    return [("Transductive", f"{which}: methods adapt to the target's test images, unlabelled")]


@dataclass(frozen=True)
class Section:
    """Everything the page shows about one block."""

    board: Leaderboard
    scale: float
    maps: list[dict[str, Any]]
    cost: dict[str, Any] | None
    curves: dict[str, Any] | None
    by_rule: list[tables.RuleScore]
    rule_cells: dict[str, int]
    trust: dict[str, Any]


def _section(frame: pd.DataFrame, board: Leaderboard, appearance: figures.Looks) -> Section:
    block = board.block
    known = [row.accuracy for row in board.rows if row.accuracy is not None]
    highs = [row.interval.high for row in board.rows if row.interval]
    # The pretrained row is part of the maps of every kind at the same shots; do not draw it twice.
    drawn_elsewhere = block.kind == "pretrained" and any(
        other.shots == block.shots for other in tables.blocks(frame) if other != block
    )
    maps = [] if drawn_elsewhere else figures.heat_maps(frame, block)
    by_rule, rule_cells = tables.by_rule(frame, block)
    return Section(
        board=board,
        scale=max([*known, *highs, 1.0]),
        maps=[{"method": method, **_picture(picture)} for method, picture in maps],
        cost=_picture(figures.accuracy_against_seconds(board, appearance)),
        curves=_picture(figures.learning_curves(frame, block, appearance)),
        by_rule=by_rule,
        rule_cells=rule_cells,
        trust=trust(frame, board, appearance),
    )


def _picture(picture: figures.Picture | None) -> Any:
    return {"svg": Markup(picture.svg), "alt": picture.alt} if picture else None


@dataclass(frozen=True)
class Harm:
    """Negative transfer of one method at one number of shots: in how many pairs, and in which."""

    shots: str
    method: str
    compared: int
    pairs: list[tuple[str, Difference]]


def _harm(table: pd.DataFrame) -> list[Harm]:
    found = []
    for (shots, method), rows in table.groupby(["shots", "method"]):
        compared = rows[rows["cells"] > 0]
        worse = compared[compared["negative"]].sort_values(["points", "pair"])
        pairs = [
            (row.pair, Difference(row.points, _interval(row.low, row.high), row.cells))
            for row in worse.itertuples()
        ]
        found.append(Harm(str(shots), str(method), len(compared), pairs))
    return sorted(found, key=lambda row: (shots_order(row.shots), row.method))


def _interval(low: float | None, high: float | None) -> Interval | None:
    return Interval(low, high) if formats.known(low) and formats.known(high) else None


def _samples(samples: Samples | None) -> list[dict[str, Any]]:
    if samples is None:
        return []
    return [
        {
            "domain": domain,
            "credit": samples.credits.get(domain, ""),
            "images": [
                {"name": name, "uri": png_uri(image), "height": image.shape[0], "width": image.shape[1]}
                for name, image in images
            ],
        }
        for domain, images in samples.images.items()
    ]


def _records(frame: pd.DataFrame, folder: str) -> list[dict[str, Any]]:
    """Every row, in the order of its key, with the command that runs it again."""
    rows = frame.sort_values("key").drop(columns=list(OBJECTS))
    rows = rows.assign(accuracy=rows[accuracy_column()]).astype(object)
    rows = rows.where(rows.notna(), None)
    where = shlex.quote(folder)
    found = []
    for row in rows.to_dict("records"):
        again = row["again"] or f"python -m bench run --cell {row['key']}"
        interval = _interval(row["low"], row["high"])
        found.append({**row, "command": f"{again} --results {where}", "interval": interval})
    return found
