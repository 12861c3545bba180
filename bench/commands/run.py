"""`bench run`: from a request to records, a table and the report."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click

from bench.commands.progress import watch
from bench.data.card import Card, load_card
from bench.data.dataset import open_dataset
from bench.digest import engine_digest
from bench.errors import UserError, check_name
from bench.plan import plan, shared_source_stages
from bench.record import Digests
from bench.registry import explicit, method_digest, method_file
from bench.store import Store
from bench.suite import Cell, ScenarioTable, Setting, Suite, Value, load_suite

RESULTS = Path("results")


@dataclass(frozen=True)
class Request:
    """The command line's options."""

    suite: str | None
    methods: list[str] | None
    source: str | None
    target: str | None
    backbone: str | None
    seeds: list[str] | None
    device: str
    sets: tuple[str, ...]
    results: str | None
    plan_only: bool
    fresh: bool
    retry_failed: bool
    keep_stale: bool
    cell: str | None


def run(request: Request) -> int:
    """Carry out a request; returns the exit code: 0 all done, 1 some cell failed."""
    if request.cell:
        suite, cells, store = _recorded(request)
    else:
        suite = _narrowed(request)
        cells = plan(suite, load_card(suite.dataset))
        store = Store(request.results or RESULTS / suite.name)
    if request.plan_only:
        _print_plan(suite, cells)
        return 0
    store.prepare()
    dataset = open_dataset(load_card(suite.dataset))
    digests = {
        method: Digests(method=method_digest(method), engine=engine_digest(), dataset=dataset.fingerprint)
        for method in suite.methods
    }
    if request.fresh or request.cell:
        todo, stale = cells, 0
    else:
        todo, stale = store.missing(cells, digests, request.keep_stale, request.retry_failed)
    click.echo(
        f"suite {suite.name}: {len(cells)} cells, {len(cells) - len(todo)} recorded"
        + (f", {stale} stale (other code or data; run again)" if stale else "")
        + f", {len(todo)} to run"
    )
    for path, reason in store.unreadable.items():
        click.echo(f"warning: unreadable record {path}: {reason}", err=True)
    if todo or request.device not in ("auto", "cpu"):
        _execute(todo, suite, request.device, digests, store)
    return _conclude(suite, cells, store)


def _narrowed(request: Request) -> Suite:
    """The suite, with what the command line narrows or replaces; all names checked."""
    if request.suite is None:
        raise UserError("say which suite to run: --suite NAME (bench list suites)")
    suite = load_suite(request.suite)
    card = load_card(suite.dataset)
    change: dict[str, object] = {}
    if request.methods:
        change["methods"] = list(dict.fromkeys(request.methods))
    if request.backbone:
        change["backbones"] = [request.backbone]
    if request.seeds:
        change["seeds"] = [_seed(text) for text in request.seeds]
    if request.source or request.target:
        change["scenarios"] = _narrow_domains(suite, card, request.source, request.target)
    suite = suite.model_copy(update=change)
    for method in suite.methods:
        method_file(method)
    overrides = {method: dict(values) for method, values in suite.set.items()}
    for text in request.sets:
        method, parameter, value = _parse_set(text)
        overrides.setdefault(method, {})[parameter] = value
    for method in overrides:
        check_name("method", method, suite.methods)
    return suite.model_copy(update={"set": {m: explicit(m, values) for m, values in overrides.items()}})


def _narrow_domains(suite: Suite, card: Card, source: str | None, target: str | None) -> list[object]:
    """The suite's tables with one source, one target, or both."""
    for name in filter(None, (source, target)):
        check_name(f"domain of {card.name}", name, card.domains)
    if source is not None and source == target:
        raise UserError(f"source and target are both '{source}': choose two domains")
    tables: list[object] = []
    for table in suite.scenarios:
        change = {"targets": [target]} if target else {}
        if source and table.kind in ("cross-domain", "cross-domain-task"):
            change["sources"] = [source]
        tables.append(table.model_copy(update=change))
    return tables


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--seeds takes whole numbers like 0,1,2, not '{text}'")
    return int(text)


def _parse_set(text: str) -> tuple[str, str, Value]:
    """`method.param=value`, the value as TOML would read it, or else as text."""
    name, equals, raw = text.partition("=")
    method, dot, parameter = name.strip().partition(".")
    if not equals or not dot:
        raise UserError(f"--set takes method.param=value, not '{text}'")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    return method, parameter, value


def _recorded(request: Request) -> tuple[Suite, list[Cell], Store]:
    """One cell out of an earlier record, as a suite of its own."""
    key = str(request.cell)
    folders = [Path(request.results)] if request.results else sorted(RESULTS.glob("*"))
    for folder in folders:
        store = Store(folder)
        record = store.read(key)
        if record is None:
            continue
        cell = record.asked.cell
        scenario = ScenarioTable(
            kind=cell.scenario.kind, targets=[cell.scenario.target], shots=[cell.scenario.shots]
        )
        suite = Suite(
            name=record.asked.suite,
            description=f"cell {key}",
            dataset=cell.scenario.dataset,
            backbones=[cell.backbone],
            methods=[cell.method],
            scenarios=[scenario],
        )
        return suite, [cell], store
    where = request.results or f"{RESULTS}/*"
    raise UserError(f"no record of cell '{key}' in {where}: name its folder with --results")


def _print_plan(suite: Suite, cells: list[Cell]) -> None:
    """Print every cell, and what they share."""
    from bench.api import Access
    from bench.registry import load_method

    for cell in cells:
        click.echo(f"{cell.key}  {cell.title}")
    asked, distinct = shared_source_stages(cells, lambda m: Access.TARGET_IMAGES in load_method(m).access)
    counts = Counter(cell.method for cell in cells)
    click.echo(f"{len(cells)} cells: " + ", ".join(f"{n} {method}" for method, n in counts.items()))
    click.echo(f"{asked} of them need a source stage; {distinct} distinct ones are trained, the rest shared")


def _execute(
    todo: list[Cell], suite: Suite, device_name: str, digests: dict[str, Digests], store: Store
) -> None:
    """Run cells on a device, with progress."""
    from bench.backbones import check_backbone, create_backbone, needs_hub
    from bench.devices import resolve_device
    from bench.executors.local import execute
    from bench.machine import default_threads, where
    from bench.runner import Context

    device = resolve_device(device_name)
    for backbone in dict.fromkeys(cell.backbone for cell in todo):
        check_backbone(backbone)
        if needs_hub(backbone):
            click.echo(f"fetching the weights of {backbone} from the hub", err=True)
        create_backbone(backbone)
    context = Context(suite.name, Setting(device=str(device), threads=default_threads()), where(device))
    with watch(todo) as watcher:
        try:
            execute(todo, context, digests, store, watcher)
        except KeyboardInterrupt:
            kept = f"{watcher.done} of {watcher.total} cells recorded"
            raise KeyboardInterrupt(f"{kept}; the same command goes on from there") from None


def _conclude(suite: Suite, cells: list[Cell], store: Store) -> int:
    """Build the report, print the table and the list of failures."""
    from rich.console import Console

    from bench.commands.report import build_page
    from report.frame import load_frame
    from report.terminal import terminal_table

    Console().print(terminal_table(load_frame(store, cells), suite.baseline))
    click.echo(f"report: {build_page(store, suite, cells)}")
    records = [record for cell in cells if (record := store.read(cell.key))]
    failed = [record for record in records if record.happened.status == "failed"]
    for record in failed:
        click.echo(f"failed: {record.asked.cell.title}: {record.happened.reason} ({record.key})", err=True)
    return 1 if failed else 0
