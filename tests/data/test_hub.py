"""The hub's protocol against a local server: fetch, interruption, damage, no network."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.data.pictures import as_shards, pictures
from tests.support.checkout import bench, python

REVISION = "0123456789abcdef0123456789abcdef01234567"
CARD = f"""
from bench.data.card import Card
from bench.data.dataset import open_dataset
from bench.data.sources.hub import Hub
card = Card(name="small", title="", description="", licence="", domains=["a", "b"], classes=["x", "y"],
    sources=[Hub(type="hub", repository="someone/small", revision="{REVISION}",
                 files=["data/train-00000-of-00001.parquet"], megabytes=1)])
"""
OPEN = (
    CARD
    + "d = open_dataset(card)\nprint(d.origin, d.fingerprint, [len(x.names) for x in d.domains.values()])"
)


class Server(ThreadingHTTPServer):
    """Serves one file as the hub does."""

    content = b""
    digest = ""
    cut = 0
    """Break off the next transfer after so many bytes."""
    ranges: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def head(self, start: int = 0) -> None:
        content = self.server.content
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{self.server.digest}"')
        self.send_header("X-Linked-ETag", f'"{self.server.digest}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.head()

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        self.head(start)
        content = self.server.content[start:]
        if self.server.cut:
            content, self.server.cut = content[: self.server.cut], 0
        self.wfile.write(content)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Server]:
    folder = as_shards(tmp_path / "there", pictures(["a", "b"], ["x", "y"], 6), 1)
    server = Server(("127.0.0.1", 0), Handler)
    (file,) = folder.iterdir()
    server.content = file.read_bytes()
    server.digest = hashlib.sha256(server.content).hexdigest()
    server.ranges = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def environment(tmp_path: Path, server: Server | None) -> dict[str, str]:
    endpoint = f"http://127.0.0.1:{server.server_port}" if server else "http://no-such-host.invalid"
    return {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "BENCH_CACHE": str(tmp_path / "cache"),
        "BENCH_DATA": "",
        "http_proxy": "",
        "https_proxy": "",
        "no_proxy": "*",
    }


def test_fetched_once_and_then_used_without_a_network(hub: Server, tmp_path: Path) -> None:
    first = python("-c", OPEN, cwd=tmp_path, **environment(tmp_path, hub))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("hub someone/small@01234567 ")
    assert first.stdout.endswith("[12, 12]\n")
    gets = len(hub.ranges)
    again = python("-c", OPEN, cwd=tmp_path, **environment(tmp_path, None))
    assert again.stdout == first.stdout, again.stderr
    assert len(hub.ranges) == gets


def test_an_interrupted_fetch_goes_on_where_it_was(hub: Server, tmp_path: Path) -> None:
    # The library writes ten megabytes at a time.
    padding = np.random.default_rng(0).bytes(4_000_000)
    big = [(*picture, content + padding) for *picture, content in pictures(["a"], ["x", "y"], 6)]
    (file,) = as_shards(tmp_path / "big", [*big, *pictures(["b"], ["x", "y"], 6)], 1).iterdir()
    hub.content = file.read_bytes()
    hub.digest = hashlib.sha256(hub.content).hexdigest()
    hub.cut = 15_000_000
    first = python("-c", OPEN, cwd=tmp_path, **environment(tmp_path, hub))
    if first.returncode:
        first = python("-c", OPEN, cwd=tmp_path, **environment(tmp_path, hub))
    assert first.returncode == 0, first.stderr
    assert first.stdout.endswith("[12, 12]\n")
    starts = [int(asked.removeprefix("bytes=").split("-")[0]) for asked in hub.ranges if asked]
    assert any(0 < start <= 15_000_000 for start in starts), hub.ranges


def test_a_wrong_checksum_is_refused_and_fetched_again(hub: Server, tmp_path: Path) -> None:
    whole = hub.content
    hub.content = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    first = python("-c", OPEN, cwd=tmp_path, **environment(tmp_path, hub))
    assert first.returncode
    assert "was damaged on its way" in first.stderr
    hub.content = whole
    again = python("-c", OPEN, cwd=tmp_path, **environment(tmp_path, hub))
    assert again.returncode == 0, again.stderr


def test_no_copy_and_no_network_is_one_short_line(tmp_path: Path) -> None:
    process = bench("run", "--suite", "office-home", cwd=tmp_path, **environment(tmp_path, None))
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    for words in (
        "--data-root DIR",
        "data fetch office-home",
        "--archive FILE",
        "no network",
        "--suite quick",
    ):
        assert words in line
    assert len(line) < 500
    listed = bench("data", "list", cwd=tmp_path, **environment(tmp_path, None))
    assert listed.returncode == 0
    assert "1159 MB" in listed.stdout


def test_the_card_pins_what_it_fetches() -> None:
    from bench.data.catalog import load_card

    source = load_card("office-home").sources[1]
    assert json.loads(source.model_dump_json())["revision"] == "d430d44779e929b335be368ab3456484e5de36bb"
