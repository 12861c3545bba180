"""Worker processes on this machine, as the process that started them sees them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.processes.protocol import STOP, Answers, Exited, Message

TAIL_BYTES = 4000
"""Bytes of a log's end that are kept."""
LOG_BYTES = 1_000_000
"""Bytes that a log may have before it is emptied."""


class LocalWorker:
    """Child process that answers requests; its answers are put into a queue, with itself."""

    def __init__(self, answers: Answers, module: str) -> None:
        # Appended to, so that it can be cut while the worker has it open.
        self._log = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115
        self._log_start = 0
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
        """Number of the process."""
        return self._process.pid

    def send(self, request: Message) -> None:
        """Send a request; of a dead worker `Exited` is in the queue."""
        self._log_start = os.fstat(self._log.fileno()).st_size
        if self._log_start > LOG_BYTES:
            os.ftruncate(self._log.fileno(), 0)
            self._log_start = 0
        self._write(request.model_dump_json())

    def request_stop(self) -> None:
        """Ask it to stop at the next moment at which nothing is lost."""
        self._write(STOP)

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """Kill it and its children; its log then ends with its stack."""
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
        """Release it: the end of its input ends it."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._end()
        self._log.close()

    def log_tail(self) -> str:
        """End of its log since the last request."""
        size = os.fstat(self._log.fileno()).st_size
        start = max(min(self._log_start, size), size - TAIL_BYTES)
        return os.pread(self._log.fileno(), TAIL_BYTES, start).decode("utf-8", "replace").strip()

    def exit_reason(self) -> str:
        """Cause of its exit, in words."""
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
                # One that is killed may leave half a line.
                if line.endswith("\n"):
                    answers.put((self, line))
        answers.put((self, Exited().model_dump_json()))


class LocalLauncher:
    """Starts workers on this machine."""

    capacity = None
    """Unlimited."""
    artifacts = None
    """In the cache."""
    assigns_devices = False
    """Workers are bound to accelerators by requests."""

    def launch(self, answers: Answers, module: str) -> LocalWorker:
        """Start a worker that runs a module."""
        return LocalWorker(answers, module)

    def check(self, root: Path) -> None:
        """Accept any folder: workers see the same disk."""

    def changes(self) -> list[str]:
        """Return no lines: a machine stays as it is."""
        return []

    def close(self) -> None:
        """Release no resources: none are held."""
