"""Python modules as child processes that begin as a fork of this one: what it has imported, they have."""

from __future__ import annotations

import atexit
import importlib
import os
import runpy
import subprocess
import sys
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

FIRST_OF_OTHERS = 3
JOURNAL = 900
"""File descriptors from here on belong to the library that makes faults."""


class Forked(subprocess.Popen[Any]):
    """In place of `subprocess.Popen`: `python -m MODULE` is a fork of this process, the rest as ever."""

    def _execute_child(
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: bool,
        pass_fds: Any,
        cwd: Any,
        env: Mapping[str, str] | None,
        *others: Any,
    ) -> None:
        if isinstance(args, str) or args[0] != sys.executable or "-m" not in args:
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *others
            )
            return
        assert preexec_fn is None
        assert cwd is None
        pipes, new_session = others[3:9], others[14]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            # What the other process would do at its end is not this one's.
            atexit._clear()
            if new_session:
                os.setsid()
            redirect(pipes[0], pipes[3], pipes[5])
            os.closerange(FIRST_OF_OTHERS, JOURNAL)
            self.forget()
            become(lambda: run_module(args[args.index("-m") + 1 :], env))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def forget(self) -> None:
        """Unload nothing of what this process has loaded."""


class ForkedAnew(Forked):
    """A fork that has libraries loaded, but reads the files again that a test may have changed."""

    def forget(self) -> None:
        """Unload all modules that do not belong to what is installed."""
        installed = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
            if file and os.path.isabs(file) and not file.startswith(installed):
                del sys.modules[name]
        importlib.invalidate_caches()


def run_module(arguments: list[str], env: Mapping[str, str] | None) -> None:
    """Run `python -m ARGUMENTS` in this process, with another environment unless that is None."""
    if env is not None:
        os.environ.clear()
        os.environ.update(env)
    sys.argv = [*arguments]
    with warnings.catch_warnings():
        # That the module is imported already.
        warnings.simplefilter("ignore", RuntimeWarning)
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def redirect(*files: int) -> None:
    """Let standard input, output and errors be these files; those that are -1 stay."""
    for number, file in enumerate(files):
        if file != -1:
            os.dup2(file, number)
    # New ones, since those that are there may take a pipe for a file.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))


def become(main: Callable[[], object]) -> NoReturn:
    """Be another program in this process, which was forked, and end with its exit code."""
    code = 1
    try:
        code = _code(main)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _code(main: Callable[[], object]) -> int:
    try:
        main()
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
