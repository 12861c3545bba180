"""Today's code and data, a device, and cells that run on it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bench.commands.progress import Score, test_accuracy, watch
from bench.data.card import load_card
from bench.data.dataset import open_dataset
from bench.digest import engine_digest
from bench.record import Digests
from bench.registry import method_digest
from bench.store import Store
from bench.suite import Cell, Setting, Suite


def today(suite: Suite) -> dict[str, Digests]:
    """Digests of the code and the data as they are now, by method."""
    fingerprint = open_dataset(load_card(suite.dataset)).fingerprint
    return {
        method: Digests(method=method_digest(method), engine=engine_digest(), dataset=fingerprint)
        for method in suite.methods
    }


def run_cells(
    cells: Sequence[Cell],
    suite: Suite,
    device_name: str,
    digests: dict[str, Digests],
    store: Store,
    score: Score = test_accuracy,
) -> None:
    """Run cells on a device; each record is stored as soon as it is there, and its `score` shown.

    Raises:
        UserError: the device or a backbone is out of reach; nothing has run then.
        KeyboardInterrupt: with a line that says what is kept.
    """
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
    context = Context(suite.name, Setting(device=str(device), threads=default_threads()), where(device))
    with watch(cells, score) as watcher:
        try:
            execute(cells, context, digests, store, watcher)
        except KeyboardInterrupt:
            kept = f"{watcher.done} of {watcher.total} cells recorded"
            raise KeyboardInterrupt(f"{kept}; the same command goes on from there") from None
