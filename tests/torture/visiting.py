"""`bench report --serve`, asked for its page once that is there, and ended."""

from __future__ import annotations

import _thread
import signal
import socket
import threading
import time
import urllib.request

import click

from bench.commands.results.serve import HOST, serve


@click.command("visit")
def command() -> None:
    """Serve the page of a folder to one visitor."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    # As in a terminal, also where this is started in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_visit, args=(port,), daemon=True).start()
    serve("results/mine", None, port)


def _visit(port: int) -> None:
    """Wait for a build, ask for the page, and interrupt."""
    try:
        while _get(port, "/version") in ("", "0"):
            time.sleep(0.05)
        page = _get(port, "/")
        assert "</body>" in page or "error: " in page, page[-200:]
    finally:
        _thread.interrupt_main()


def _get(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=30) as answer:
            return answer.read().decode()
    except OSError:
        return ""
