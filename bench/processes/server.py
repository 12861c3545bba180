"""Serving part of a worker process, whatever its requests are.

Requests come as lines of JSON on the standard input, answers go as lines of JSON to what was the standard
output; anything else that is printed goes to the standard error, which is the worker's log. The end of the
input means that the other process is gone, and ends this one at once, with all that it started.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TextIO

from bench.core.errors import UserError
from bench.processes.descendants import end_with_descendants
from bench.processes.garbage import fast_imports
from bench.processes.malloc import retain
from bench.processes.protocol import STOP, Failure, Message, Note
from bench.processes.signals import request_stop


class Server(ABC):
    """Answers requests, one at a time."""

    def __init__(self, answers: TextIO) -> None:
        self._answers, self._lock = answers, threading.Lock()

    def send(self, answer: Message) -> None:
        """Send one answer; end this process, with all that it started, if nobody reads it."""
        try:
            with self._lock:
                self._answers.write(answer.model_dump_json() + "\n")
                self._answers.flush()
        except BrokenPipeError:
            end_with_descendants()

    @abstractmethod
    def load(self) -> None:
        """Import the libraries that requests need."""

    @abstractmethod
    def handle(self, request: str) -> None:
        """Do a request, a line of JSON.

        Raises:
            UserError: the other process is told, by a `Failure`.
        """


class LogForwarder(logging.Handler):
    """Sends warnings to the other process as notes."""

    def __init__(self, server: Server) -> None:
        super().__init__(logging.WARNING)
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        """Send one."""
        self._server.send(Note(text=record.getMessage()))


def serve(kind: type[Server]) -> None:
    """Answer what comes in, to the end of it."""
    with contextlib.suppress(AttributeError):  # not on every system
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    faulthandler.enable()
    retain()
    # The other process decides what an interruption from the terminal means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: request_stop())
    # Whatever the locale: the protocol is in UTF-8, and what a method prints is no reason to fail.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    server = kind(answers)
    logging.getLogger("bench").addHandler(LogForwarder(server))
    # Meanwhile the other process finds out what to request, which takes as long if images must be decoded.
    threading.Thread(target=_load, args=(server,), daemon=True).start()
    for request in _requests():
        try:
            server.handle(request)
        except UserError as error:
            server.send(Failure(message=str(error)))


def _load(server: Server) -> None:
    with fast_imports():
        server.load()


def _requests() -> Iterator[str]:
    """Requests in their order; a stop and the end of the input take effect at once."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in os.fdopen(os.dup(0), encoding="utf-8"):
            if line.strip() == STOP:
                request_stop()
            else:
                waiting.put(line)
        end_with_descendants()

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield waiting.get()
