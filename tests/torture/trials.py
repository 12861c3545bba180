"""Every command that writes, struck at each of its calls in turn: `python -m tests.torture.trials`.

This process imports the program once, then forks for each point: a copy of a prepared folder, the command
with one fault, a look at what is left, the same command again without a fault. What the command starts is
forked, too: see `tests.support.forking`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fnmatch
import gc
import importlib
import json
import os
import pkgutil
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from jinja2 import TemplateError

from bench.core.files import OF_A_DISK
from bench.records import maintenance
from bench.records.codec import encode
from bench.records.store import Store
from tests.support.forking import Forked, become, redirect
from tests.torture.durable import unordered
from tests.torture.faults import CHANGE, KINDS, READ, STATE, STAY, Call, Faults, Kind, Row
from tests.torture.verbs import VERBS, Verb

LEASED = "another process works on it"
UNREAD = ("warning: ", "failed: ", "unreadable", "left out", "damaged")
"""How commands say that there is something that they could not read."""
PATIENCE = 60.0
"""Seconds after which a command hangs."""
LOADED = ("bench.commands", "bench.data", "bench.executors", "bench.report.export", "bench.report.render")
"""Packages of whose modules commands need any; what else they need, those import."""
VERSIONS = "*/versions/*"
"""A record that could not be read for a moment may be kept a second time, as one that was replaced."""
PICTURES = ("*.html", "preview/*.png")
"""Pages and sheets show the pictures out of images and caches that can be read, and go without the others."""
REMOVAL = ("unlink", "rmdir")
"""Calls that leave behind what they do not remove."""

Tree = dict[str, bytes]


class Ended(NamedTuple):
    """How a command ended: its exit code, or minus its signal; None: it did not."""

    code: int | None
    out: str
    err: str


class Trial:
    """One command, and the folder that it works in."""

    def __init__(self, home: Path, name: str, verb: Verb, faults: Faults) -> None:
        """Prepare the folder, and see what an undisturbed run makes of it, and with which calls."""
        self.verb, self.faults = verb, faults
        self._spared: tuple[str, ...] = ()
        self.place, self._prepared = home / "place", home / "prepared" / re.sub(r"\W+", "-", name)
        fresh(self.place)
        verb.prepare(self.place, self._succeed)
        given = verb.arguments
        self._arguments = given if isinstance(given, tuple) else given(self.place)
        fresh(self.place / "tmp")
        shutil.copytree(self.place, self._prepared, symlinks=True)
        self.before, self.baselines = tree(self.place), [baselines(self.place)]
        self.damage, self.litter = self._damage(), litter(self.place)
        faults.count()
        ended = self.call()
        faults.disarm()
        self.calls = faults.calls()
        assert ended.code == verb.code, ended
        assert "Traceback" not in ended.err, ended
        self.after = tree(self.place)
        self.baselines.append(baselines(self.place))
        self._restore()
        self.call()
        assert not self._differing(), f"{name} is not the same twice: {self._differing()}"

    def order(self, verb: str) -> Row:
        """What a loss of power could undo of an undisturbed run."""
        changes = [call for call in self.calls if call.does & CHANGE]
        found = unordered(changes, self.place)
        return Row(verb, "order of flushes", len(changes), 1, {"lost": 1} if found else {}, found)

    def _succeed(self, *arguments: str) -> None:
        ended = self.call(arguments)
        assert ended.code == 0, (arguments, ended)

    def _restore(self) -> None:
        shutil.rmtree(self.place)
        shutil.copytree(self._prepared, self.place, symlinks=True)

    def call(self, arguments: tuple[str, ...] | None = None) -> Ended:
        """Run the command, in a process of its own, which has none left when this returns."""
        said = self.place.with_name("said.txt"), self.place.with_name("errors.txt")
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            given = self._arguments if arguments is None else arguments
            become(partial(_command_line, self.place, said, given))
        watch = os.pidfd_open(child)
        ready = select.select([watch], [], [], PATIENCE)[0]
        os.close(watch)
        if not ready:
            os.killpg(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        _end_orphans()
        code = os.waitstatus_to_exitcode(status) if ready else None
        return Ended(code, *(path.read_text(errors="replace") for path in said))

    def strike(self, kind: Kind, at: int) -> tuple[Call, list[tuple[str, str]]] | None:
        """Call that a fault struck, the so-manieth, and what is wrong after it, as (harm, what).

        None where none struck.
        """
        self._restore()
        self.faults.arm(kind, at)
        ended = self.call()
        if not self.faults.disarm():
            return None
        call = self.faults.calls()[0]
        self._spared = ()
        if call.does & READ:
            # Of images, of what is made of them, or of the folder that both are in.
            part = [*Path(call.path).relative_to(self.place).parts, "images"][0]
            self._spared = (VERSIONS, *(PICTURES if part in ("images", "cache") else ()))
        said = ended.err + ended.out + "".join(self._written())
        unread = bool(kind.calls & READ) and any(word in said for word in UNREAD)
        return call, [
            *self._ending(kind, ended),
            *self._visible(unread),
            *self._result(kind, ended, unread),
            *self._flushed(kind, ended, call),
            *([] if kind.kills or kind.action & STAY or call.name in REMOVAL else self._stray()),
            *self._again(kind),
        ]

    def _written(self) -> Iterator[str]:
        """Texts that the command has written."""
        for name, content in tree(self.place).items():
            if content != self.before.get(name) and not name.startswith("cache/"):
                yield content.decode(errors="replace")

    def _ending(self, kind: Kind, ended: Ended) -> Iterator[tuple[str, str]]:
        lines = ended.err.splitlines()
        if "Traceback" in ended.err + ended.out or "Exception ignored" in ended.err:
            places = [line.strip() for line in lines if line.startswith("  File ")]
            yield "traceback", "; ".join([*places[-4:], *lines[-1:]])
        elif ended.code is None:
            yield "hangs", ""
        elif kind.kills and ended.code == -signal.SIGKILL:
            return
        elif ended.code == 2:
            if sum(line.startswith("error: ") for line in lines) != 1 or not lines[-1].startswith("error: "):
                yield "exit", f"not one line: {ended.err[-300:]}"
        elif ended.code not in (self.verb.code, 1):
            yield "exit", f"code {ended.code}: {ended.err[-300:]}"
        elif ended.code != self.verb.code and not ended.err + ended.out:
            yield "exit", f"code {ended.code} without a word"

    def _visible(self, unread: bool) -> Iterator[tuple[str, str]]:
        """Whatever can be seen is what it was or what it is to become; what stays is there.

        Where a read failed and the command said so, what it writes may be without what it could not read; a
        page is written anew also where it is to become what it was.
        """
        now = tree(self.place)
        for name in sorted({*now, *self.before, *self.after}):
            before, after, seen = (found.get(name) for found in (self.before, self.after, now))
            if self._compares(name) and seen not in (before, after):
                if seen is None:
                    yield "lost", name
                elif not (unread and (before is None or before != after or name.endswith(".html"))):
                    yield "half visible", f"{name}, {len(seen)} bytes"
            elif seen is None and before is not None and not (self.verb.removes or before in now.values()):
                yield "lost", name
        held = baselines(self.place)
        for name in {*held, *self.baselines[0], *self.baselines[1]}:
            old, new, seen = (known.get(name, {}) for known in (*self.baselines, held))
            if seen not in (old, new) and not (unread and old != new):
                yield "half visible" if seen else "lost", f"baseline {name}: {sorted(seen)}"
        yield from (("half visible", found) for found in self._damage() - self.damage)

    def _compares(self, name: str) -> bool:
        # In a cache, whatever has a key of its own stands in nobody's way.
        patterns = (*self.verb.random, *self._spared)
        known = name in self.before or name in self.after or not name.startswith("cache/")
        return known and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    def _differing(self) -> list[str]:
        """What is not as an undisturbed run leaves it."""
        now = tree(self.place)
        # Any part of a cache may be absent at any time.
        absent = {name for name in self.after if name.startswith("cache/")} - now.keys()
        names = {name for name in {*now, *self.after} - absent if now.get(name) != self.after.get(name)}
        if baselines(self.place) != self.baselines[1]:
            names.add("baselines, as they are read")
        return sorted(filter(self._compares, names))

    def _damage(self) -> set[str]:
        """Records that cannot be read, or whose predictions cannot."""
        roots = [path.parent for path in self.place.glob("results/*/records")]
        return {str(fault.path) for root in roots for fault in maintenance.check(Store(root))[1]}

    def _result(self, kind: Kind, ended: Ended, unread: bool) -> Iterator[tuple[str, str]]:
        """A command that says that it succeeded has, but for what can be made again."""
        if kind.kills or ended.code != self.verb.code or "error: " in ended.err or unread:
            return
        now = tree(self.place)
        for name, content in self.after.items():
            cache = name.startswith("cache/") and name not in now
            if not cache and self._compares(name) and now.get(name) != content:
                yield "exit", f"code {ended.code}, but {name} is not as it should be"
        if self.verb.removes and (left := now.keys() - self.after.keys()):
            yield "exit", f"code {ended.code}, but {sorted(left)[0]} is still there"

    def _flushed(self, kind: Kind, ended: Ended, call: Call) -> Iterator[tuple[str, str]]:
        """A command does not say that it succeeded if what it wrote may not be on disk."""
        parts = Path(call.path).relative_to(self.place).parts
        passing = not {"cache", "tmp", "leases", "checkpoints"}.isdisjoint(parts)
        if kind.error in OF_A_DISK and call.name == "fsync" and not passing and ended.code == self.verb.code:
            yield "exit", f"code {ended.code}, but {call.path} was not flushed"

    def _stray(self) -> Iterator[tuple[str, str]]:
        yield from (("stray", name) for name in sorted(litter(self.place) - self.litter))

    def _again(self, kind: Kind) -> Iterator[tuple[str, str]]:
        """The same command, undisturbed, ends with the right result."""
        already = not self._differing()
        if kind.kills or kind.action & STAY:
            # What holds the lock of a study is waited for half a minute.
            for path in self.place.glob("results/*/*.journal.lock"):
                path.unlink()
        ended = self.call()
        if LEASED in ended.err:
            # The lease of a process that was ended while it wrote it is free after a minute.
            for path in self.place.glob("results/*/leases"):
                shutil.rmtree(path)
            ended = self.call()
        if unlike := self._differing():
            yield "does not complete", f"code {ended.code}, {', '.join(unlike[:3])}: {ended.err[-300:]}"
        elif ended.code != self.verb.code and not (already and ended.code in (0, 2)):
            yield "does not complete", f"code {ended.code}: {ended.err[-300:]}"


def _command_line(place: Path, said: tuple[Path, Path], arguments: tuple[str, ...]) -> None:
    """Carry out a command, in this child of a process that has imported the program."""
    from bench.cli import main

    os.setpgid(0, 0)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    redirect(os.open(os.devnull, os.O_RDONLY), *(os.open(path, flags) for path in said))
    os.chdir(place)
    os.environ |= {
        "BENCH_CACHE": str(place / "cache"),
        "TMPDIR": str(place / "tmp"),
        "BENCH_QUICK_LOG": f"{place}.worked",
    }
    tempfile.tempdir = None
    sys.argv = ["bench", *arguments]
    main()


def _end_orphans() -> None:
    """End what a command left running: its children have become this process's."""
    while True:
        try:
            children = Path("/proc/self/task").joinpath(str(os.getpid()), "children").read_text().split()
            for child in map(int, children):
                os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def fresh(folder: Path) -> None:
    """Make a folder that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def tree(place: Path) -> Tree:
    """Files that can be seen, without what says when they were written."""
    found: Tree = {}
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("leases", "tmp")]
        for name in names:
            if not name.startswith(".") and ".lock" not in name and not name.endswith(".partial"):
                path = Path(folder, name)
                found[path.relative_to(place).as_posix()] = timeless(path)
    return found


TIMES = re.compile(rb"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?|<!-- [0-9a-f]+ -->\n")


def timeless(path: Path) -> bytes:
    """Content of a file without times, and without the digest of times that a page ends with."""
    content = path.read_bytes()
    return TIMES.sub(b"", content) if path.suffix in (".html", ".md", ".json", ".jsonl", ".txt") else content


def baselines(place: Path) -> dict[str, dict[str, bytes]]:
    """Content of each baseline, as it is read, by name and by what holds it."""
    found: dict[str, dict[str, bytes]] = {}
    for folder in place.glob("results/baselines/[!.]*"):
        store = Store(folder)
        found[folder.name] = {record.key: encode(record) for record in store.records()}
        for record in store.records():
            arrays = store.predictions(record)
            found[folder.name][f"{record.key} predictions"] = b"".join(
                arrays[name].tobytes() for name in sorted(arrays)
            )
    return found


def litter(place: Path) -> set[str]:
    """Temporary files that a command has not removed."""
    names = (".tmp-*", ".unpacking-*", "*.partial", "tmp/*")
    found = (path for name in names for path in place.rglob(name) if path.is_file())
    return {path.relative_to(place).as_posix() for path in found}


def row(trial: Trial, verb: str, kind: str, most: int | None) -> Row:
    """Strike a command at each of its calls, or at so many, evenly spread."""
    calls = [call for call in trial.calls if call.does & KINDS[kind].calls]
    found = Row(verb, kind, count := len(calls))
    points = min(most or count, count)
    for place in range(points):
        at = (2 * place + 1) * count // (2 * points) + 1
        struck = trial.strike(KINDS[kind], at)
        if struck is None:
            continue
        call, harms = struck
        found.points += 1
        for harm in {harm for harm, _ in harms}:
            found.harms[harm] = found.harms.get(harm, 0) + 1
        name = f"{at} {call.name} {call.path.removeprefix(str(trial.place))}"
        found.examples += [f"{name}: {harm}: {what}" for harm, what in harms]
    return found


def load(verbs: Sequence[str]) -> None:
    """Import what commands need, and let cells be answered at once, but for those that train."""
    for package in map(importlib.import_module, LOADED):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)

    from bench.cli import cli
    from bench.commands.experiments import run_plan
    from bench.core.digest import engine_digest
    from bench.report.render import page

    for module in {VERBS[verb].module for verb in verbs} - {""}:
        cli.add_command(importlib.import_module(module).command)
    engine_digest()
    page.environment = cache(page.environment)
    for name in (templates := page.environment()).list_templates(["html"]):
        with contextlib.suppress(TemplateError):  # of a page with filters of its own
            templates.get_template(name)
    draw_nothing()
    subprocess.Popen = Forked  # type: ignore[misc]
    run_plan.ExecutorOptions = partial(  # type: ignore[misc,assignment]
        run_plan.ExecutorOptions, module="tests.torture.instant"
    )
    gc.freeze()


def draw_nothing() -> None:
    """Let all pictures be the same: to draw them takes most of a command's time, and no call of a disk."""
    from matplotlib.backend_bases import FigureCanvasBase
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    FigureCanvasSVG.print_svg = lambda self, file, **_: file.write("<svg></svg>")  # type: ignore[assignment]
    FigureCanvasBase.print_figure = lambda self, file, **_: file.write(b"drawn")  # type: ignore[assignment]
    Figure.draw_without_rendering = lambda self: None  # type: ignore[method-assign]


def main() -> None:
    """Print a line of JSON for each command and kind of fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.trials", description=__doc__)
    parser.add_argument("verbs", nargs="*", metavar="VERB", help=f"of {', '.join(VERBS)}; default: all")
    parser.add_argument("--kinds", nargs="*", default=[*KINDS], metavar="KIND")
    parser.add_argument("--points", type=int, help="of each command and kind; default: all")
    asked = parser.parse_args()
    verbs = asked.verbs or [*VERBS]
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans become children of this process
    load(verbs)
    # Beside the state: a temporary folder of this process would be removed by each child that ends.
    home = Path(os.environ[STATE]).parent
    faults = Faults(home / "place")
    for verb in verbs:
        began = time.monotonic()
        trial = Trial(home, verb, VERBS[verb], faults)
        print(json.dumps(asdict(trial.order(verb))), flush=True)
        for kind in asked.kinds:
            print(json.dumps(asdict(row(trial, verb, kind, asked.points))), flush=True)
        print(f"{verb}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
