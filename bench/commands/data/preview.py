"""`bench data preview`: a contact sheet per domain of a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench.commands.data.data import select_card
from bench.commands.progress import progress_bars
from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.data.dataset import Dataset, open_dataset
from bench.data.decoders.image import decode
from bench.data.sources.encoded import Encoded, encoded_images
from bench.processes.pool import in_threads
from bench.report.render.templates import environment

CLASSES, EACH, SIZE = 12, 8, 96

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ card.title }}</title>
<style>body { font: 1rem system-ui; margin: 2rem } img { max-width: 100% } td { padding-right: 1rem }</style>
<h1>{{ card.title }}</h1>
<p>{{ card.description }}</p>
<p>{{ origin }}. {{ card.licence }}</p>
{% for domain, file, classes in sheets %}
<h2>{{ domain }}</h2>
<p>A class a row: {{ classes | join(", ") }}</p>
<img src="{{ file }}" alt="Images of {{ domain }}, a class a row: {{ classes | join(', ') }}">
{% endfor %}
</html>
"""


def preview(name: str | None, out: Path) -> Path:
    """Write `<out>/<domain>.png` and `<out>/index.html`; returns the page."""
    import io

    with progress_bars() as progress:
        dataset = open_dataset(select_card(name), progress)
    sheets = []
    for number, domain in enumerate(dataset.domains):
        sheet, classes = contact_sheet(dataset, domain)
        # Numbered: a domain's name may be anything.
        file = f"domain-{number}.png"
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
        _write(out / file, buffer.getvalue())
        sheets.append((domain, file, classes))
    page = environment().from_string(PAGE)
    text = page.render(card=dataset.card, origin=dataset.origin, sheets=sheets)
    _write(out / "index.html", text.encode())
    return out / "index.html"


def contact_sheet(dataset: Dataset, domain: str) -> tuple[np.ndarray, list[str]]:
    """Contact sheet, uint8 (height, width, 3) with a class a row, and the classes; unreadable is grey."""
    images = dataset.domains[domain]
    labels = np.unique(images.labels)[:CLASSES]
    sheet = np.full((len(labels) * SIZE, EACH * SIZE, 3), 128, dtype=np.uint8)
    picked = [
        (row, place, int(index))
        for row, label in enumerate(labels)
        for place, index in enumerate(np.flatnonzero(images.labels == label)[:EACH])
    ]

    def draw(job: tuple[int, Encoded]) -> None:
        row, place, _ = picked[job[0]]
        try:
            content = decode(job[1], SIZE, dataset.card.fit)
        except UserError:
            return
        sheet[row * SIZE : (row + 1) * SIZE, place * SIZE : (place + 1) * SIZE] = content

    for _ in in_threads(draw, encoded_images(images.places[index] for _, _, index in picked)):
        pass
    return sheet, [dataset.card.classes[label] for label in labels]


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
