"""Nonsense and malice in suite files, cards, tables, records and arguments."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import matplotlib as mpl
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from bench.cli import main
from bench.data.own import own_card
from bench.method.registry import load_method, method_modules
from bench.records import codec
from bench.records.store import Store
from bench.report.scores.frame import load_frame
from tests.data.pictures import jpeg
from tests.quick import expected, quick_cell
from tests.torture.guard import guarded

NASTY = (
    "../../x",
    "/etc/cron.d/x",
    "..",
    ".",
    "",
    " ",
    "a\\b",
    "C:\\x",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "=cmd|' /C calc'!A0",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe",
    "é",
    "e\u0301",
    "x" * 5000,
    "[bold]",
    "%s%n",
    "$(touch x)",
    "`touch x`",
    "__import__('os').system('touch x')",
    "!!python/object/apply:os.system [touch x]",
    "null",
    "nan",
    "-1",
    "1e400",
    "9" * 5000,
    "🙂",
)
text = st.one_of(
    st.sampled_from(NASTY), st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"))
)
value: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), text),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=6,
)

SUITE: dict[str, Any] = {
    "name": "own",
    "description": "d",
    "dataset": "emoji-home",
    "domains": ["google", "twitter"],
    "classes": 3,
    "image_size": 32,
    "augment": "none",
    "precision": "fp32",
    "transductive": False,
    "unsplit": False,
    "headline": "last",
    "recipe": {"optimizer": "sgd", "learning_rate": 0.01, "backbone_rate": 0.1},
    "preset": "paper",
    "backbones": ["test_efficientnet.untrained"],
    "methods": ["linear-probe", "dann"],
    "baseline": "linear-probe",
    "seeds": [0],
    "budget": {"steps": 8, "batch_size": 4, "evaluations": 1},
    "scenarios": [{"kind": "cross-domain", "sources": ["google"], "targets": ["twitter"], "shots": [1]}],
    "set": {"dann": {"weight": 0.5}},
    "gate": {"max_slowdown": 0.1},
}
CARD: dict[str, Any] = {
    "title": "t",
    "description": "d",
    "homepage": "https://example.org",
    "licence": "l",
    "credits": {"shop": "somebody"},
    "anchors": "anchors.csv",
    "domains": ["shop", "site"],
    "default_domains": ["shop", "site"],
    "classes": ["bolt", "nut"],
    "fit": "pad",
    "split": {"seed": 1, "test": 0.3, "validation": 0.2},
    "expected": {"images": 16},
    "sources": [{"type": "folder", "names": ["x"], "path": "x"}],
}


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in nested dicts and lists something can be put instead."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at, *(place for key, inner in items for place in places(inner, (*at, key)))]


def replaced(tree: Any, at: tuple[Any, ...], new: Any) -> Any:
    """The tree with something else at one place."""
    if not at:
        return new
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[at[0]] = replaced(copy[at[0]], at[1:], new)
    return copy


def changed(tree: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The tree with one to three of its places, or a new key, filled with anything."""
    spots = [place for place in places(tree) if place]

    @st.composite
    def change(draw: st.DrawFn) -> dict[str, Any]:
        out = tree
        for _ in range(draw(st.integers(1, 3))):
            with contextlib.suppress(KeyError, IndexError, TypeError):
                out = replaced(out, draw(st.sampled_from(spots)), draw(value))
        if draw(st.booleans()):
            out = {**out, draw(text): draw(value)}
        return out

    return change()


def toml(tree: dict[str, Any]) -> str:
    """As TOML, all in inline tables; what TOML has no word for is left out."""
    return "".join(f"{json.dumps(k)} = {_inline(v)}\n" for k, v in tree.items() if v is not None)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items() if v is not None)
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(_inline(v) for v in value if v is not None)}]"
    if isinstance(value, float):
        return str(value)
    return json.dumps(value)


def call(home: Path, *arguments: str) -> tuple[int, str]:
    """The command line in this process, in a folder; its exit code and what it printed.

    Raises whatever would have been a traceback, or an `AssertionError` for what it may not do.
    """
    printed = io.StringIO()
    here, environment = os.getcwd(), dict(os.environ)
    cache = Path(os.environ["BENCH_CACHE"])
    os.chdir(home)
    code = 0
    try:
        with (
            mock.patch.object(sys, "argv", ["bench", *arguments]),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            guarded(home, cache) as broken,
        ):
            try:
                main()
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(environment)
        own_card.cache_clear()
    assert not broken, [*broken]
    out = printed.getvalue()
    assert code in (0, 1, 2), out
    assert "Traceback" not in out, out
    assert "\x1b" not in out, "what others wrote is obeyed by the terminal"
    if code == 2:
        assert sum(line.startswith("error: ") for line in out.splitlines()) <= 1, out
    return code, out


Fuzz = Callable[[int], int]


@cache
def warm_up() -> None:
    """Load what is loaded late before anything is watched: libraries may make folders of their own."""
    mpl.get_cachedir()
    with (
        contextlib.redirect_stdout(io.StringIO()),
        mock.patch.object(sys, "argv", ["bench", "list", "methods"]),
    ):
        main()
    for method in method_modules():
        load_method(method)


def fuzz(strategy: st.SearchStrategy[Any], check: Callable[[Path, Any], None], cases: int) -> int:
    """Check so many cases, each in a folder of its own; how many there were."""
    count = 0
    warm_up()

    # Without a search for a smaller case, which would take long; `print_blob` says how to see this one again.
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(strategy)
    def run(case: Any) -> None:
        nonlocal count
        count += 1
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "a" / "b" / "home"
            home.mkdir(parents=True)
            check(home, case)
            left = {path.name for path in Path(folder).rglob("*") if home not in (path, *path.parents)}
            assert left <= {"a", "b", "home"}, left

    run()
    return count


def suites(cases: int) -> int:
    """Suite files: changed ones, and any bytes."""

    def check(home: Path, content: dict[str, Any] | bytes) -> None:
        data = content if isinstance(content, bytes) else toml(content).encode("utf-8", "replace")
        (home / "own.toml").write_bytes(data)
        call(home, "run", "--suite", "own.toml", "--plan")

    return fuzz(st.one_of(changed(SUITE), changed(SUITE), st.binary(max_size=300)), check, cases)


def cards(cases: int) -> int:
    """Cards beside one's own images."""

    def check(home: Path, content: dict[str, Any] | bytes) -> None:
        data = content if isinstance(content, bytes) else toml(content).encode("utf-8", "replace")
        for domain in ("shop", "site"):
            for label in ("bolt", "nut"):
                folder = home / "mine" / domain / label
                folder.mkdir(parents=True)
                for number in range(3):
                    (folder / f"{number}.png").write_bytes(b"none")
        (home / "mine" / "card.toml").write_bytes(data)
        call(home, "run", "--suite", "own-images", "--data", "mine", "--plan")
        call(home, "data", "list", "--data", "mine")

    return fuzz(st.one_of(changed(CARD), changed(CARD), st.binary(max_size=300)), check, cases)


_cell = st.one_of(text, st.sampled_from(["shop", "site", "bolt", "nut", "a.png", "train", "test"]))
_rows = st.lists(st.lists(_cell, min_size=1, max_size=6), max_size=12)


def tables(cases: int) -> int:
    """Tables of one's own images, with names and columns of any kind."""

    def check(home: Path, content: list[list[str]] | bytes) -> None:
        if isinstance(content, bytes):
            data = content
        else:
            quoted = (",".join('"' + part.replace('"', '""') + '"' for part in row) for row in content)
            data = "\n".join(["path,domain,label,group,split", *quoted]).encode("utf-8", "replace")
        (home / "mine.csv").write_bytes(data)
        call(home, "run", "--suite", "own-images", "--data", "mine.csv", "--plan")

    return fuzz(st.one_of(_rows, _rows, st.binary(max_size=300)), check, cases)


def names(cases: int) -> int:
    """Domains, classes and files of any name, decoded and looked at by the doctor."""
    image = jpeg(0)

    def check(home: Path, found: tuple[list[str], list[str]]) -> None:
        rows = ["path,domain,label"]
        (home / "images").mkdir()
        for d, domain in enumerate(found[0]):
            for c, label in enumerate(found[1]):
                for number in range(3):
                    file = f"images/{d}-{c}-{number}.jpg"
                    (home / file).write_bytes(image)
                    rows.append(",".join('"' + p.replace('"', '""') + '"' for p in (file, domain, label)))
        (home / "mine.csv").write_bytes("\n".join(rows).encode("utf-8", "replace"))
        call(home, "data", "check", "--data", "mine.csv")
        call(home, "data", "preview", "--data", "mine.csv")
        page = home / "preview" / "index.html"
        if page.exists():
            assert "<script>" not in page.read_text(encoding="utf-8")

    several = st.lists(text, min_size=2, max_size=3, unique=True)
    return fuzz(st.tuples(several, several), check, cases)


def records(cases: int) -> int:
    """Records: changed and sealed again, as somebody else's could be; cut; and any bytes."""
    whole, arrays = expected(quick_cell(0))
    tree = json.loads(codec.encode(whole))
    tree.pop("checksum")

    def check(home: Path, content: dict[str, Any] | bytes) -> None:
        store = Store(home)
        store.prepare()
        record = store.write(whole, arrays)
        data = content if isinstance(content, bytes) else json.dumps(codec.with_checksum(content)).encode()
        store.path(record.key).write_bytes(data)
        load_frame(Store(home))
        call(home.parent, "report", "--results", str(home), "--out", str(home / "table.md"))
        call(home.parent, "results", "verify", str(home))

    return fuzz(st.one_of(changed(tree), changed(tree), st.binary(max_size=300)), check, cases)


_arrays = st.dictionaries(
    st.one_of(
        st.sampled_from(["look0/target-test/logits", "target-test/labels", "target-test/groups"]), text
    ),
    st.tuples(
        st.sampled_from(["<f2", "<f4", "<i2", "<i8", "|u1", "|b1"]),
        st.lists(st.integers(0, 4), max_size=3),
        st.sampled_from([-3, 0, 1, 7, float("nan"), float("inf"), 1e30]),
    ).map(lambda a: _filled(*a)),
    max_size=4,
)


def _filled(kind: str, shape: list[int], value: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.full(shape, value).astype(kind)


def predictions(cases: int) -> int:
    """Predictions of any shape and kind, beside a record that vouches for them; and any bytes."""
    import hashlib

    whole, arrays = expected(quick_cell(0))

    def check(home: Path, content: dict[str, np.ndarray] | bytes) -> None:
        blob = content if isinstance(content, bytes) else save({**arrays, **content})
        store = Store(home)
        store.prepare()
        record = whole.model_copy(update={"predictions_sha256": hashlib.sha256(blob).hexdigest()})
        store.path(record.key).parent.mkdir()
        store.path(record.key).write_bytes(codec.encode(record))
        store.predictions_path(record).write_bytes(blob)
        call(home.parent, "report", "--results", str(home), "--out", str(home / "table.md"))

    return fuzz(st.one_of(_arrays, _arrays, st.binary(max_size=300)), check, cases)


_argument = st.one_of(text, st.text(max_size=8).filter(lambda t: "\x00" not in t)).map(
    lambda t: t.replace("\x00", "")
)
_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("run", "--plan", "--suite"),
    ("run", "--plan", "--suite", "smoke", "--methods"),
    ("run", "--plan", "--suite", "smoke", "--set"),
    ("run", "--plan", "--suite", "smoke", "--seeds"),
    ("run", "--plan", "--suite", "smoke", "--source"),
    ("run", "--plan", "--suite", "smoke", "--backbone"),
    ("run", "--cell"),
    ("run", "--plan", "--timeout"),
    ("run", "--plan", "--workers"),
    ("run", "--plan", "--suite", "own-images", "--data"),
    ("run", "--plan", "--suite", "office-home", "--data-root"),
    ("list",),
    ("report", "--results"),
    ("report", "--update"),
    ("compare", "x"),
    ("compare",),
    ("baseline", "save"),
    ("baseline", "rm"),
    ("results", "verify"),
    ("results", "gc"),
    ("results", "merge", "x"),
    ("cache", "clear", "--yes", "x"),
    ("data", "check"),
    ("data", "preview"),
    ("data", "card"),
    ("data", "fetch"),
    ("tune", "--suite", "smoke", "--method"),
    ("tune", "--method", "dann", "--suite"),
    ("recommend", "--suite"),
    ("recommend", "--suite", "smoke", "--shots"),
    ("rank-backbones", "--dataset"),
    ("rank-backbones", "--dataset", "emoji-home", "--target"),
    (),
)


def arguments(cases: int) -> int:
    """Arguments of any kind behind the beginning of every command."""

    def check(home: Path, case: tuple[tuple[str, ...], list[str]]) -> None:
        call(home, *case[0], *case[1])

    return fuzz(st.tuples(st.sampled_from(_COMMANDS), st.lists(_argument, max_size=3)), check, cases)


TARGETS: dict[str, Fuzz] = {
    "suite files": suites,
    "cards": cards,
    "tables of images": tables,
    "names of domains and classes": names,
    "records": records,
    "predictions": predictions,
    "arguments": arguments,
}
