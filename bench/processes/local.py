"""A worker process as the process that started it sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.processes.protocol import Answers

TAIL = 4000
"""Bytes of a log that are kept."""
ROOM = 1_000_000
"""Bytes that a log may have before it is begun anew."""


class LocalWorker:
    """A running worker: what it answers is put into a queue, with itself."""

    def __init__(self, answers: Answers, module: str) -> None:
        # Appended to, so that it can be cut while the worker has it open.
        self._log = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115
        self._began = 0
        self._process = subprocess.Popen(
            # Without the folder it is started in on the path, unless this process has it there.
            [sys.executable, "-P", "-m", module],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            # Signals of the terminal are for this process, which tells its workers.
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, **request: Any) -> None:
        """Send a request; one that is dead says so by an answer of its own."""
        if request["do"] != "stop":
            self._began = os.fstat(self._log.fileno()).st_size
            if self._began > ROOM:
                os.ftruncate(self._log.fileno(), 0)
                self._began = 0
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it at once, with what it started; its log then says where it was."""
        if self._process.poll() is None and hasattr(signal, "SIGUSR1"):
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.2)
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let it go: the end of its input ends it."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._end()
        self._log.close()

    def tail(self) -> str:
        """The end of what it printed since it was last asked."""
        size = os.fstat(self._log.fileno()).st_size
        place = max(min(self._began, size), size - TAIL)
        return os.pread(self._log.fileno(), TAIL, place).decode("utf-8", "replace").strip()

    def death(self) -> str:
        """How it died, in words."""
        code = self._process.wait()
        if code >= 0:
            return f"its process ended with exit code {code}"
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            return f"its process was killed by {name}" + (
                ": out of memory, or somebody ended it" if name == "SIGKILL" else ""
            )
        return f"its process was killed by signal {-code}"

    def _listen(self, answers: Answers) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                answers.put((self, json.loads(line)))
        answers.put((self, {"what": "gone"}))


class LocalLauncher:
    """Starts workers on this machine."""

    room = None
    """As many as are wanted."""
    artifacts = None
    """In the cache."""

    def launch(self, answers: Answers, module: str) -> LocalWorker:
        """A new worker that runs a module."""
        return LocalWorker(answers, module)

    def check(self, root: Path) -> None:
        """Nothing: they see what this process sees."""

    def news(self) -> list[str]:
        """Nothing: a machine stays as it is."""
        return []

    def close(self) -> None:
        """Nothing: it holds nothing."""
