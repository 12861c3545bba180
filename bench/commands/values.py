"""Values that a shell completes, by what they name. Light: looks nothing up before it is asked."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem


def lists(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete what can be listed."""
    return _starting(incomplete, ("backbones", "datasets", "methods", "suites"))


def names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete suites, methods and datasets."""
    return _starting(incomplete, sorted({*_suites(), *_methods(), *_datasets()}))


def suites(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete suites, or else suite files."""
    # Shells complete names or paths, not both at once.
    return _starting(incomplete, _suites()) or files(context, parameter, incomplete)


def editions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete frozen suites."""
    from bench.spec.matrix.editions import editions as known

    return _starting(incomplete, sorted(known()))


def datasets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete datasets."""
    return _starting(incomplete, _datasets())


def methods(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last of several methods or families."""
    from bench.method.registry import FAMILY, family

    known = _methods()
    families = sorted({FAMILY + family(name) for name in known})
    return _last(incomplete, [*known, *families])


def backbones(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last of several backbones whose weights need no network."""
    from bench.networks.backbones.weights import PACKAGED

    return _last(incomplete, sorted(PACKAGED))


def domains(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last of several domains of the suite that is named before."""
    from bench.core.errors import UserError
    from bench.data.catalog import load_card
    from bench.spec.matrix.suite import load_suite

    try:
        return _last(incomplete, load_card(load_suite(str(context.params.get("suite"))).dataset).domains)
    except UserError:
        return []


def results(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete results folders and baselines, or else folders."""
    from bench.core.paths import RESULTS
    from bench.records import baselines

    folders = sorted(str(path) for path in RESULTS.glob("*") if (path / "records").is_dir())
    known = _starting(incomplete, [*folders, *baselines.names()])
    return known or [CompletionItem(incomplete, type="dir")]


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete paths."""
    return [CompletionItem(incomplete, type="file")]


def devices(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete kinds of devices."""
    return _starting(incomplete, ("auto", "cpu", "cuda", "mps"))


def executors(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete places where cells run."""
    return _starting(incomplete, ("local", "ray", "slurm"))


def trackers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete experiment trackers."""
    return _starting(incomplete, ("mlflow", "tensorboard", "wandb"))


def findings(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete findings of papers."""
    from bench.spec.findings import finding_names

    return _starting(incomplete, finding_names())


def _suites() -> list[str]:
    from bench.spec.matrix.suite import suite_names

    return suite_names()


def _methods() -> list[str]:
    from bench.method.registry import method_modules

    return sorted(method_modules())


def _datasets() -> list[str]:
    from bench.data.catalog import card_names

    return card_names()


def _starting(incomplete: str, known: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


def _last(incomplete: str, known: Iterable[str]) -> list[CompletionItem]:
    """Completions of what follows the last comma, but for what stands before it."""
    before, comma, last = incomplete.rpartition(",")
    taken = {*before.split(",")}
    return [
        CompletionItem(before + comma + name) for name in known if name.startswith(last) and name not in taken
    ]
