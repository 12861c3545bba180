"""Today's code and data, a device, and cells that run on it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bench.commands.progress import Score, showing, test_accuracy, watch
from bench.data.card import load_card
from bench.data.dataset import BadImages, open_dataset
from bench.digest import engine_digest
from bench.errors import UserError
from bench.paths import skip_bad
from bench.record import Digests
from bench.registry import method_digest
from bench.store import Store
from bench.suite import Cell, Setting, Suite


def today(suite: Suite) -> dict[str, Digests]:
    """Digests of the code and the data as they are now, by method."""
    with showing() as progress:
        dataset = open_dataset(load_card(suite.dataset), progress)
    for warning in dataset.warnings:
        click.echo(f"warning: {warning}", err=True)
    fingerprint = dataset.fingerprint
    return {
        method: Digests(method=method_digest(method), engine=engine_digest(), dataset=fingerprint)
        for method in suite.methods
    }


def prepare(cells: Sequence[Cell]) -> bool:
    """Decode what the cells need, before any of them runs; whether images were found bad and left out.

    Raises:
        UserError: a domain has no images, or some cannot be decoded and are not to be left out.
    """
    needs = dict.fromkeys(
        (cell.scenario.dataset, domain, cell.image_size)
        for cell in cells
        for domain in (cell.scenario.source, cell.scenario.target)
        if domain
    )
    problems: dict[str, str] = {}
    left_out = False
    with showing() as progress:
        for name, domain, size in needs:
            for _ in range(2):
                try:
                    open_dataset(load_card(name), progress).pixels(domain, size, progress)
                    break
                except BadImages as error:
                    if not skip_bad():
                        problems[domain] = str(error)
                        break
                    click.echo(f"warning: left out: {error}", err=True)
                    left_out = True
    if problems:
        raise UserError(
            f"{'; '.join(problems.values())}. Mend or remove them (python -m bench data check lists every "
            "fault), or leave them out with --skip-bad"
        )
    return left_out


def run_cells(
    cells: Sequence[Cell],
    suite: Suite,
    device_name: str,
    digests: dict[str, Digests],
    store: Store,
    score: Score = test_accuracy,
    share: bool = True,
) -> None:
    """Run cells on a device; each record is stored as soon as it is there, and its `score` shown.

    They `share` features and source stages, or each makes its own.

    Raises:
        UserError: the device or a backbone is out of reach; nothing has run then.
        KeyboardInterrupt: with a line that says what is kept.
    """
    if prepare(cells):
        digests = today(suite)
    from bench.artifacts import Alone, Artifacts
    from bench.backbones import check_backbone, create_backbone, needs_hub
    from bench.devices import resolve_device
    from bench.executors.local import execute
    from bench.machine import default_threads, where
    from bench.runner import Context

    device = resolve_device(device_name)
    for backbone in dict.fromkeys(cell.backbone for cell in cells):
        check_backbone(backbone)
        if needs_hub(backbone):
            click.echo(f"fetching the weights of {backbone} from the hub", err=True)
        create_backbone(backbone)
    setting = Setting(device=str(device), threads=default_threads())
    context = Context(suite.name, setting, where(device), Artifacts() if share else Alone())
    with watch(cells, score) as watcher:
        try:
            execute(cells, context, digests, store, watcher)
        except KeyboardInterrupt:
            kept = f"{watcher.done} of {watcher.total} cells recorded"
            raise KeyboardInterrupt(f"{kept}; the same command goes on from there") from None
