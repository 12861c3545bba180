"""`bench rank-backbones`: pretrained networks ordered for a target by transferability scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy import stats
from torch import nn

from bench.commands.options import SuiteOptions, list_parts
from bench.commands.suite_options import select_suite
from bench.core.errors import UserError
from bench.core.modalities import MODALITIES
from bench.core.paths import own_data
from bench.core.seeds import stream
from bench.core.text import printable
from bench.data.card import Card
from bench.data.catalog import load_card
from bench.data.dataset import Dataset, open_dataset, silent
from bench.data.splits import TEST, TRAIN, subset
from bench.engine.cell.devices import resolve_device
from bench.engine.cell.digests import present_digests
from bench.engine.cell.env import CellEnv
from bench.engine.cell.environment import default_threads
from bench.engine.cell.features import DomainInputs
from bench.engine.cell.settings import arithmetic
from bench.engine.evaluation.transferability import h_score, leep, log_me, shrunk_h_score, trans_rate
from bench.engine.training.artifacts import Artifacts
from bench.engine.training.cost import CostTracker
from bench.engine.training.inputs.base import Inputs
from bench.method.maths.logistic import fit_logistic
from bench.networks.backbones.create import check_backbone, create_backbone
from bench.networks.backbones.families import check_family
from bench.networks.backbones.image import imagenet_head
from bench.networks.backbones.own_weights import resolve
from bench.networks.backbones.weights import PACKAGED, available_offline, fetched_from, untrained
from bench.networks.split import POOLED
from bench.spec.cell import Budget, Cell, Precision, Scenario, Setting
from bench.spec.matrix.plan import choose_classes

SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "LogME": log_me,
    "H shrunk": shrunk_h_score,
    "H": h_score,
    "TransRate": trans_rate,
}
"""Scores of (features, labels), the first of which decides the order."""

VERIFIED = "probe, %"

PRECISION: Precision = "fp32"
IMAGE_SIZE = 64
"""Size of the images of a dataset that no suite is named for."""


@dataclass(frozen=True)
class RankOptions:
    """Options of `bench rank-backbones`."""

    selection: SuiteOptions
    dataset: str | None
    backbones: list[str] | None
    device: str
    verify: bool


@dataclass(frozen=True)
class Ranking:
    """Images that backbones are ranked for, and how."""

    dataset: Dataset
    target: str
    classes: tuple[str, ...]
    image_size: int
    device: str
    verify: bool = False
    part: str = TRAIN
    """Split of the target whose labels score them."""

    @property
    def setting(self) -> Setting:
        """Setting that features are computed in, as cells here compute theirs, which may take them over."""
        return Setting(device=str(resolve_device(self.device)), threads=default_threads())


def rank(options: RankOptions) -> int:
    """Print the candidates for each target, best first by LogME; returns the exit code."""
    card, classes, image_size = _images(options)
    targets = list_parts("--target", options.selection.target, card.domains)
    for target in targets:
        card.check_domain(target)
    names = list(dict.fromkeys(map(resolve, options.backbones or _candidates())))
    for name in names:
        check_family(name, card.modality)
        check_backbone(name)
    resolve_device(options.device)
    dataset = open_dataset(card)
    for target in targets:
        _rank(names, Ranking(dataset, target, classes, image_size, options.device, options.verify))
    return 0


def _images(options: RankOptions) -> tuple[Card, tuple[str, ...], int]:
    """Card, classes and image size that the options say: those of a dataset, a suite or one's own images."""
    selection = options.selection
    if options.dataset and (selection.suite or own_data()):
        other = "--suite" if selection.suite else "--data"
        raise UserError(f"--dataset and {other} both say which images: give one of them")
    if options.dataset:
        card = load_card(options.dataset)
        classes, size = tuple(card.classes), selection.image_size or IMAGE_SIZE
    else:
        # Its targets are asked for, not what it transfers from.
        suite = select_suite(replace(selection, target=()))
        card = load_card(suite.dataset)
        classes, size = choose_classes(suite, card), suite.image_size
    if not selection.target:
        raise UserError(
            "Missing option '--target': the domain that networks are ranked for, "
            f"of {', '.join(card.domains)}"
        )
    MODALITIES[card.modality].check(size, "none")
    return card, classes, size


def _rank(names: Sequence[str], ranking: Ranking) -> None:
    """Print the candidates for one target; those that cannot be scored are listed with the reason."""
    rows, reasons = scored(names, ranking)
    left_out = [f"{name}: {reason}" for name, reason in reasons.items()]
    if not rows:
        raise UserError(f"no candidate can be ranked: {'; '.join(left_out)}")
    columns = [*SCORES, "LEEP", *([VERIFIED] if ranking.verify else [])]
    title = f"{ranking.dataset.card.name}/{ranking.target}: higher is better; H is the H-score"
    table = Table(title=Text(printable(title)), title_justify="left", box=None, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    table.add_column("backbone", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    first = next(iter(SCORES))
    for name in sorted(rows, key=lambda name: -rows[name][first]):
        written = [f"{rows[name][column]:.4g}" if column in rows[name] else "–" for column in columns]
        table.add_row(Text(name), *written)
    Console().print(table)
    for line in left_out:
        click.echo(printable(f"not ranked: {line}"))
    if len(rows) == 1:
        click.echo("one network is ranked: there is nothing to compare it with")
    if any("LEEP" not in row for row in rows.values()):
        click.echo("LEEP needs the network's own ImageNet head, which comes with packaged weights only.")
    if ranking.verify:
        for column in columns[:-1]:
            click.echo(f"{column}: {agreement(rows, column)}")


def scored(names: Sequence[str], ranking: Ranking) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Scores of backbones by name, and why others could not be scored."""
    rows, reasons = {}, {}
    for name in names:
        click.echo(f"features of {name}", err=True)
        try:
            with arithmetic(ranking.setting, PRECISION):
                rows[name] = score(name, ranking)
        except Exception as error:  # A network may fail in any way of its own; the others can be ranked.
            reasons[name] = (str(error).splitlines() or [type(error).__name__])[0]
    return rows, reasons


def _candidates() -> list[str]:
    """Backbones available offline: packaged weights, and the untrained network for comparison."""
    names = available_offline()
    return [*names, untrained(names[0] if names else next(iter(PACKAGED)))]


def score(name: str, ranking: Ranking) -> dict[str, float]:
    """Scores of one backbone, by name of the score, on features of a split of the target's images.

    LEEP is there for packaged weights, the probe's accuracy in percent where verification is on.
    """
    dataset, classes = ranking.dataset, ranking.classes
    train = subset(dataset, ranking.target, classes, ranking.part)
    inputs, width = _features(name, ranking)
    features = inputs.take(train.rows).cpu()
    if not torch.isfinite(features).all():
        # Scores of such would be no numbers, which have no place in an order.
        raise UserError("its features are not finite")
    scores = {column: of(features.numpy(), train.labels) for column, of in SCORES.items()}
    if name in PACKAGED:
        with torch.no_grad():
            probabilities = imagenet_head(name)(features).softmax(1).numpy()
        scores["LEEP"] = leep(probabilities, train.labels)
    if ranking.verify:
        head = nn.Linear(width, len(classes))
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        labels, groups = torch.from_numpy(train.labels), torch.from_numpy(train.groups)
        fit_logistic(head, features, labels, groups, seed=0)
        test = subset(dataset, ranking.target, classes, TEST)
        with torch.no_grad():
            predicted = head(inputs.take(test.rows).cpu()).argmax(1).numpy()
        scores[VERIFIED] = 100 * float((predicted == test.labels).mean())
    return scores


def _features(name: str, ranking: Ranking) -> tuple[Inputs, int]:
    """Pooled features of the target's images, as a run of the probe caches them, and their width."""
    dataset = ranking.dataset
    cell = Cell(
        scenario=Scenario(
            kind="pretrained",
            dataset=dataset.card.name,
            target=ranking.target,
            target_classes=ranking.classes,
            shots="all",
        ),
        method="linear-probe",
        backbone=name,
        modality=dataset.card.modality,
        image_size=ranking.image_size,
        augment="none",
        budget=Budget(),
        seed=0,
        precision=PRECISION,
    )
    if place := fetched_from(name):
        click.echo(f"fetching the weights of {name} from {place}", err=True)
    torch.manual_seed(stream(cell.seed, "init", "backbone"))
    backbone = create_backbone(name, ranking.image_size)
    digests = present_digests(dataset, "", [name])
    tracker = CostTracker(torch.device(ranking.setting.device))
    env = CellEnv(cell, ranking.setting, digests, Artifacts(), tracker, silent)
    return DomainInputs(env, dataset).get(ranking.target, backbone, POOLED, 0), backbone.num_features


def agreement(rows: dict[str, dict[str, float]], column: str) -> str:
    """Describe a score's rank correlation with the probe's accuracy, over the backbones that have both."""
    # To six digits: a score that is the same for all must not be ranked by its rounding errors.
    pairs = [(float(f"{row[column]:.6g}"), row[VERIFIED]) for row in rows.values() if column in row]
    scores, accuracies = ([pair[side] for pair in pairs] for side in (0, 1))
    if len(pairs) < 3 or len(set(scores)) == 1 or len(set(accuracies)) == 1:
        return "how well it ranks cannot be said: it takes three backbones or more that differ"
    spearman = stats.spearmanr(scores, accuracies).statistic
    kendall = stats.kendalltau(scores, accuracies).statistic
    return f"Spearman {spearman:+.2f}, Kendall {kendall:+.2f} with the probe, over {len(pairs)} backbones"
