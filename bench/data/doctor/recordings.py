"""Scan of every recording of a dataset: silence, clipping, sampling rates, or why it cannot be read.

`python -m bench.data.doctor.recordings` is a process that opens recordings, which a damaged one may stall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from bench.core.text import counted
from bench.core.waveforms import AUDIO_RATE, FULL_SCALE
from bench.data.dataset import Dataset
from bench.data.decoders.audio import load
from bench.data.decoders.base import Unreadable
from bench.data.decoding import STOPPED, ImagesRequest, numbered, pieces
from bench.data.doctor.finding import Finding
from bench.data.index import Progress
from bench.data.sources.encoded import Encoded, Place
from bench.processes.expendable import ItemServer, Lost, in_expendable_processes
from bench.processes.protocol import Message, Text
from bench.processes.server import serve

SILENT = 0.001
"""Loudest sample of a recording that says nothing: 60 dB below the loudest there can be."""
CLIPPED = 0.01
"""Share of samples at the loudest there can be from which on a recording is clipped."""

Where = tuple[str, int]
"""Domain and row."""


class Heard(Message):
    """What was heard of a recording; where it cannot be read, only why."""

    rate: int = 0
    seconds: float = 0.0
    loudest: float = 0.0
    clipped: float = 0.0
    """Share of samples at the loudest there can be."""
    unreadable: Text = ""


class Listener(ItemServer):
    """Opens recordings."""

    def load(self) -> None:
        """Import nothing: this module has imported what is needed."""

    def results(self, request: str) -> Iterator[tuple[int, Callable[[], str]]]:
        """Recordings of a request; the result of each is a `Heard`."""
        for number, encoded in ImagesRequest.model_validate_json(request).read():
            yield number, partial(_listen, encoded)


def _listen(encoded: Encoded) -> str:
    try:
        if isinstance(encoded, np.ndarray):
            samples, rate = encoded / FULL_SCALE, AUDIO_RATE
        else:
            samples, rate = load(encoded)
    except Unreadable as reason:
        return Heard(unreadable=str(reason)).model_dump_json()
    loud = np.abs(samples)
    heard = Heard(
        rate=rate,
        seconds=len(loud) / rate,
        loudest=float(loud.max()),
        clipped=float((loud >= 1 - 1.5 / FULL_SCALE).mean()),
    )
    return heard.model_dump_json()


def listen(dataset: Dataset, progress: Progress) -> dict[Where, Heard]:
    """Listen to every recording of a dataset."""
    heard: dict[Where, Heard] = {}
    for name, domain in dataset.domains.items():

        def request(rows: Sequence[int], places: tuple[Place, ...] = domain.places) -> ImagesRequest:
            return ImagesRequest(images=numbered(places, rows))

        outcomes = in_expendable_processes("bench.data.doctor.recordings", pieces(domain.places), request)
        for done, outcome in enumerate(outcomes, 1):
            heard[name, outcome.item] = (
                Heard(unreadable=f"{STOPPED}: {outcome.reason}")
                if isinstance(outcome, Lost)
                else Heard.model_validate_json(outcome.text)
            )
            progress(f"listen to {name}", done, len(domain.places))
    return heard


def faults(dataset: Dataset, heard: dict[Where, Heard]) -> Iterable[Finding]:
    """Find what is wrong with recordings that can be read."""
    good = {where: each for where, each in sorted(heard.items()) if not each.unreadable}
    yield from _silent(dataset, good)
    yield from _clipped(dataset, good)
    yield from _rates(good)


def summary(heard: dict[Where, Heard], name: str) -> dict[str, str | int | float | None]:
    """Mean length of a domain's recordings."""
    lengths = [each.seconds for (where, _), each in heard.items() if where == name and not each.unreadable]
    return {"seconds": round(float(np.mean(lengths)), 2) if lengths else None}


def _silent(dataset: Dataset, heard: dict[Where, Heard]) -> Iterable[Finding]:
    """Find recordings in which nothing is to be heard."""
    found = [where for where, each in heard.items() if each.loudest < SILENT]
    if found:
        text = f"{counted(len(found), 'recording')} with nothing louder than -60 dB"
        yield Finding("silence", "fault", text, _titles(dataset, found))


def _clipped(dataset: Dataset, heard: dict[Where, Heard]) -> Iterable[Finding]:
    """Find recordings that are cut off where they are loud."""
    found = [where for where, each in heard.items() if each.clipped >= CLIPPED]
    if found:
        text = f"{counted(len(found), 'recording')} with 1 % of samples or more at full scale"
        yield Finding("clipping", "note", text, _titles(dataset, found))


def _rates(heard: dict[Where, Heard]) -> Iterable[Finding]:
    """Find several sampling rates: what was recorded at a lower one has no high frequencies."""
    rates = Counter(each.rate for each in heard.values())
    if len(rates) > 1:
        named = tuple(f"{rate:,} Hz: {counted(count, 'recording')}" for rate, count in sorted(rates.items()))
        yield Finding("sampling rates", "note", f"{len(rates)} of them; all become {AUDIO_RATE:,} Hz", named)


def _titles(dataset: Dataset, found: list[Where]) -> tuple[str, ...]:
    return tuple(f"{name}: {dataset.domains[name].title(row)}" for name, row in found)


if __name__ == "__main__":
    serve(Listener)
