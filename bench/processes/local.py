"""Worker processes on this machine, as the process that started them sees them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench.core.errors import UserError
from bench.processes.descendants import MARK, kill_descendants, new_mark
from bench.processes.protocol import STOP, Answers, Exited, Message

TAIL_BYTES = 4000
"""Bytes of a log's end that are kept, in memory: whatever a worker prints, no disk fills up."""
FROM_OUTSIDE = "out of memory, or somebody ended it"
"""End of the reason for the exit of a process whose own work need not be the cause."""
PIECE = 2**16
"""Bytes of a log that are read at once."""


class LocalWorker:
    """Child process that answers requests; its answers are put into a queue, with itself."""

    def __init__(self, answers: Answers, module: str) -> None:
        """Start it.

        Raises:
            UserError: the system has no room for one.
        """
        self._mark = new_mark()
        self._log = bytearray()
        try:
            self._process = subprocess.Popen(
                # Without the folder it is started in on the path, unless this process has it there.
                [sys.executable, "-P", "-m", module],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), MARK: self._mark},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                # Signals of the terminal are for this process, which tells its workers.
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(
                f"cannot start a worker process: {error.strerror or error}: allow more "
                "open files (ulimit -n), processes (-u) or memory (-v)"
            ) from None
        self._listener = threading.Thread(target=self._listen, args=(answers,), daemon=True)
        self._listener.start()
        self._log_reader = threading.Thread(target=self._read_log, daemon=True)
        self._log_reader.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def send(self, request: Message) -> None:
        """Send a request; of a dead worker `Exited` is in the queue."""
        self._log.clear()
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
        """Kill it and what it started; its log then ends with its stack."""
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
        kill_descendants(self._mark)
        self._process.wait()

    def close(self) -> None:
        """Release it: the end of its input ends it, and what it started."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        self._end()
        for thread, pipe in (
            (self._listener, self._process.stdout),
            (self._log_reader, self._process.stderr),
        ):
            thread.join(1.0)
            if pipe is not None and not thread.is_alive():
                pipe.close()

    def log_tail(self) -> str:
        """End of its log since the last request."""
        if self._process.poll() is not None:
            self._log_reader.join(1.0)  # what it said last may be on its way
        text = bytes(self._log)
        if len(text) == TAIL_BYTES:
            # It may begin anywhere, within a character or a secret.
            text = text.partition(b"\n")[2] or text
        return text.decode("utf-8", "replace").strip()

    def exit_reason(self) -> str:
        """Cause of its exit, in words."""
        code = self._process.wait()
        if code >= 0:
            return f"its process ended with exit code {code}"
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            return f"its process was killed by {name}" + (f": {FROM_OUTSIDE}" if name == "SIGKILL" else "")
        return f"its process was killed by signal {-code}"

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while piece := os.read(self._process.stderr.fileno(), PIECE):
                self._log += piece
                del self._log[:-TAIL_BYTES]

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
