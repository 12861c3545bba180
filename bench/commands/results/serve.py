"""`bench report --serve`: a local web server of the page, which is built anew as records arrive.

Each build is a process of its own, so that the page stays available, and is followed by a pause of several
times its length: a suite that is being measured should be disturbed as little as possible.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click

from bench.commands.results.asked import NAME as SUITE
from bench.commands.results.folder import latest_folder
from bench.core.errors import UserError
from bench.processes.pool import beside
from bench.records.baselines import open_results
from bench.records.store import Store

HOST = "127.0.0.1"
"""Loopback address, which only this machine can reach."""
PAUSE = 4.0
"""Pause between two builds, in lengths of a build."""
LOOKS = 20.0
"""Pause between two looks at the records, in lengths of a look: those of 100,000 take a second each."""

POLICY, LIVE_POLICY = "default-src 'none';", "default-src 'none'; connect-src 'self';"
WAITING = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>transfer-bench</title>"
    "<style>:root{{color-scheme:light dark}}</style><p role=status>{}</p></body>"
)
SCRIPT = """<script>
const known = "VERSION";
setInterval(async () => {
  const now = await fetch("/version").then((answer) => answer.text(), () => known);
  if (now !== known && !document.activeElement?.matches("input, select")) location.reload();
}, 2000);
</script></body>"""


class Builder:
    """Keeps a page up to date with the records of a results folder."""

    def __init__(self, results: str, page: Path, suite: str | None = None) -> None:
        self.page = page
        self.version = 0
        self.failure = ""
        self.html = b""
        """Page of the latest build, with the script that reloads newer ones."""
        self._show(0)
        self._results = results
        self._suite = ["--suite", suite] if suite else []
        self._built: object = None
        self._process: subprocess.Popen[str] | None = None
        self._started = self._pause_until = 0.0

    def step(self) -> None:
        """Start a build if there are new records, or collect the result of one that has ended."""
        if self._process is not None:
            self._collect(self._process)
        elif time.monotonic() >= self._pause_until:
            began = time.monotonic()
            try:
                state = self._state()
            except OSError:
                # It may pass; what stays is found by the build of the next change, and shown.
                return
            now = time.monotonic()
            self._pause_until = now + LOOKS * (now - began)
            if state != self._built:
                self._built, self._started = state, now
                command = [sys.executable, "-m", "bench", "report", "--results", self._results]
                self._process = subprocess.Popen(
                    [*command, *self._suite, "--out", str(self.page)],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )

    def _collect(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            return
        errors = process.communicate()[1].strip()
        self.failure = errors.splitlines()[-1] if process.returncode and errors else ""
        self._show(self.version + 1)
        self.version += 1
        now = time.monotonic()
        self._pause_until = now + PAUSE * (now - self._started)
        self._process = None

    def close(self) -> None:
        """End a build that is under way."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _show(self, version: int) -> None:
        """Read what is served from now on, once a build: a page may have megabytes."""
        # The message may name files: their names must not become markup.
        text = WAITING.format(escape(self.failure or "The page is being built."))
        if not self.failure:
            with contextlib.suppress(OSError):
                text = self.page.read_text(encoding="utf-8").replace(POLICY, LIVE_POLICY, 1)
        head, _, tail = text.rpartition("</body>")
        self.html = (head + SCRIPT.replace("VERSION", str(version)) + tail).encode()

    def _state(self) -> object:
        """State of the records and of the suite; not the newest time alone, since clocks may go backwards."""
        store = Store(self._results)
        try:
            suite = (store.root / SUITE).stat()
        except OSError:
            return store.state()
        return store.state(), suite.st_size, suite.st_mtime_ns


def serve(results: str | None, suite: str | None, port: int) -> None:
    """Show the page until interrupted; `port` 0 takes a free one.

    Raises:
        UserError: there is no folder to show, or the port is taken.
    """
    folder = results or str(latest_folder())
    if not Path(folder).is_dir():
        open_results(folder)  # raises, unless it is a baseline
    with tempfile.TemporaryDirectory() as temporary:
        builder = Builder(folder, Path(temporary) / "report.html", suite)
        try:
            # A thread per connection: browsers open some that they do not use.
            server = ThreadingHTTPServer((HOST, port), _handler(builder))
        except OSError as error:
            raise UserError(
                f"cannot serve on port {port} ({error.strerror}): choose another --port"
            ) from None
        # Beside the builder, which looks at every record: connections do not wait for that.
        with server, beside(server.serve_forever, server.shutdown):
            click.echo(f"http://{HOST}:{server.server_port}/ shows {folder}; Ctrl-C ends it")
            try:
                while True:
                    builder.step()
                    time.sleep(0.5)
            except KeyboardInterrupt:
                click.echo("ended")
            finally:
                builder.close()


def _handler(builder: Builder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Handler of two addresses; no file of the disk is served."""

        timeout = 10

        def do_GET(self) -> None:
            """Serve the page, or the number of its latest build."""
            port = str(self.connection.getsockname()[1])
            hosts = (f"{HOST}:{port}", f"localhost:{port}")
            # Another site's name may resolve to this address (DNS rebinding): it must not read the page.
            if self.headers.get("Host") not in hosts:
                self.send_error(403, "ask for 127.0.0.1")
            elif self.path == "/":
                self._answer("text/html; charset=utf-8", builder.html)
            elif self.path == "/version":
                self._answer("text/plain; charset=utf-8", str(builder.version).encode())
            else:
                self.send_error(404)

        def _answer(self, kind: str, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Print no line per request."""

    return Handler
