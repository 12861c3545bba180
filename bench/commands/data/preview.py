"""`bench data preview`: a contact sheet per domain of a dataset."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from bench.commands.data.data import select_card
from bench.commands.progress import progress_bars
from bench.core.errors import UserError
from bench.core.files import write_atomically
from bench.core.paths import cache_part, writing_to_cache
from bench.data.corruptions.domains import Corruption
from bench.data.dataset import Dataset, open_dataset
from bench.data.decoding import Form, decode_items
from bench.data.index import Progress
from bench.data.sources.encoded import Place
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
    with progress_bars() as progress:
        dataset = open_dataset(select_card(name), progress)
        drawn = contact_sheets(dataset, progress)
    sheets = []
    for number, (domain, (sheet, classes)) in enumerate(drawn.items()):
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


def contact_sheets(dataset: Dataset, progress: Progress) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Contact sheet of each domain, uint8 (height, width, 3) with a class a row, and the classes.

    What cannot be read is grey.
    """
    tiles: list[tuple[np.ndarray, Corruption | None]] = []
    places: list[Place] = []
    digests: list[str] = []
    sheets = {}
    for name, domain in dataset.domains.items():
        labels = np.unique(domain.labels)[:CLASSES]
        sheet = np.full((len(labels), SIZE, EACH, SIZE, 3), 128, dtype=np.uint8)
        for row, label in enumerate(labels):
            for column, index in enumerate(np.flatnonzero(domain.labels == label)[:EACH]):
                tiles.append((sheet[row, :, column], domain.corruption))
                places.append(domain.places[index])
                digests.append(domain.digests[index])
        classes = [dataset.card.classes[label] for label in labels]
        sheets[name] = sheet.reshape(len(labels) * SIZE, EACH * SIZE, 3), classes
    with writing_to_cache():
        folder = cache_part("decoded")
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".preview-", dir=folder) as temporary:
            file = Path(temporary, "images.npy")
            bad = decode_items(
                places,
                digests,
                Form(size=SIZE, fit=dataset.card.fit),
                file,
                lambda done: progress("decode", done, len(places)),
            )
            pixels = np.load(file, allow_pickle=False)
    for number, (tile, corruption) in enumerate(tiles):
        if number not in bad:
            image = pixels[number]
            tile[:] = corruption.apply(image, digests[number]) if corruption else image
    return sheets


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
