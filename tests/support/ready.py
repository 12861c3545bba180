"""Processes that begin with other people's libraries loaded, which takes longer than most commands.

A server holds the libraries and is forked once per command; nothing of the benchmark is loaded in it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO

from tests.support.forking import ForkedAnew, become, redirect, run_module

LIBRARIES = (
    *("torch", "torch._dynamo", "timm", "torchvision"),
    *("pandas", "scipy.stats", "sklearn.linear_model", "seaborn", "pydantic"),
)
LATE = ("BENCH_", "COLUMNS", "PYTEST_", "PYTHONPATH")
"""How the names of variables begin that no library reads as it is loaded."""


def early(environment: dict[str, str]) -> dict[str, str]:
    """What libraries may read as they are loaded."""
    return {name: value for name, value in environment.items() if not name.startswith(LATE)}


class Server:
    """A process that is forked for commands with this environment, but for variables that are read late."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.early = early(environment)
        self._socket, there = socket.socketpair()
        with there:
            # It ends when this process does: nobody holds the other end then.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(there.fileno())],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
            )

    def run(
        self, module: str, *arguments: str, cwd: Path, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """`python -m MODULE ARGUMENTS`, as `subprocess.run` answers."""
        with ExitStack() as stack:

            def temporary() -> IO[str]:
                return stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline=""))

            request, stdout, stderr = temporary(), temporary(), temporary()
            here, there = map(stack.enter_context, socket.socketpair())
            here.settimeout(timeout)
            json.dump([module, arguments, str(cwd), environment], request)
            request.flush()
            files = [each.fileno() for each in (request, stdout, stderr, there)]
            socket.send_fds(self._socket, [b"?"], files)
            there.close()
            reply = stack.enter_context(here.makefile())
            pid = int(reply.readline())
            try:
                code = int(reply.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired([module, *arguments], timeout) from None
            said = []
            for file in (stdout, stderr):
                file.seek(0)
                said.append(file.read().replace("\r\n", "\n"))
            return subprocess.CompletedProcess([module, *arguments], code, *said)


def serve(listener: socket.socket) -> None:
    """Fork for each request, into what it asks for."""
    # Nobody asks how the watchers ended, so that they leave nothing to be waited for.
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        _, files, _, _ = socket.recv_fds(listener, 1, 4)
        if not files:
            sys.exit()
        if os.fork():
            for file in files:
                os.close(file)
            continue
        signal.signal(signal.SIGCHLD, before)
        request, stdout, stderr, reply = files
        command = os.fork()
        if command:
            os.write(reply, f"{command}\n".encode())
            _, status = os.waitpid(command, 0)
            os.write(reply, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        with os.fdopen(request, encoding="utf-8") as file:
            file.seek(0)
            module, arguments, cwd, environment = json.load(file)
        redirect(-1, stdout, stderr)
        for file in (stdout, stderr, reply):
            os.close(file)
        listener.close()
        os.chdir(cwd)
        sys.path[:] = search_path(cwd, environment)
        if environment.get("OMP_NUM_THREADS") == "1":
            # Only so: threads that compute are not there in a fork, which would wait for them for ever.
            subprocess.Popen = ForkedAnew  # type: ignore[misc]
        become(partial(run_module, [module, *arguments], environment))


def search_path(cwd: str, environment: dict[str, str]) -> list[str]:
    """`sys.path` of `python -m` in a folder, with another PYTHONPATH than this process has."""
    before, after = (where.get("PYTHONPATH", "").split(os.pathsep) for where in (os.environ, environment))
    return [cwd, *filter(None, after), *(path for path in sys.path[1:] if path not in before)]


def main(listener: int) -> None:
    """Load libraries, and wait for requests."""
    for name in LIBRARIES:
        import_module(name)
    serve(socket.socket(fileno=listener))


if __name__ == "__main__":
    main(int(sys.argv[1]))
