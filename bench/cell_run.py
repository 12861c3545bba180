"""The steps of one cell: what the method may see, its stages, the looks, the predictions."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench import evaluate
from bench.api import Access, GradientMethod, Labelled, Method, Modules, StageName, Task
from bench.artifacts import Artifacts, Tensors, load_into
from bench.backbones import create_backbone, untrained
from bench.cut import POOLED, suffix
from bench.data.card import load_card
from bench.data.dataset import Progress, open_dataset
from bench.data.episodes import draw_episodes
from bench.data.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    Subset,
    concatenate,
    draw_shots,
    fold_of,
    hold_out,
    subset,
)
from bench.digest import combine
from bench.engine import HeldOut, Stage, train
from bench.errors import CellFailed, CellSkipped
from bench.feed import Endless, Episodes, Feed, Inputs
from bench.measure import Ledger
from bench.plan import source_stage
from bench.record import Digests, Look, Part, Predictions
from bench.registry import configure
from bench.seeds import stream
from bench.selection import HEADLINE, select
from bench.suite import Cell, Scenario, Setting
from bench.validators import FEWEST, NOTHING, LabelFree, Outputs, label_free
from bench.views import Views

POOL = 256
"""Unlabelled target images, and held-out source images, that are looked at without target labels."""

OnLook = Callable[[int, float | None], None]

DEAR = 10
"""Methods that train below the pooled features are asked one in so many of a scenario's episodes."""


class Run:
    """One cell at work. What it leaves: `looks`, `selected`, `details`, its costs in the ledger."""

    def __init__(
        self,
        cell: Cell,
        setting: Setting,
        digests: Digests,
        artifacts: Artifacts,
        ledger: Ledger,
        progress: Progress,
    ) -> None:
        self.cell, self.setting, self.digests = cell, setting, digests
        self.artifacts, self.ledger, self.progress = artifacts, ledger, progress
        self.method = configure(cell.method, cell.overrides)
        self.looks: list[Look] = []
        self.logits: list[dict[Part, np.ndarray]] = []
        self.selected: dict[str, int] = {}
        self.details: dict[str, Any] = {}
        self.discrepancy_before: dict[str, float] = {}
        self.images_from = ""
        self.warnings: tuple[str, ...] = ()

    def go(self) -> Predictions:
        """Source stage, target stage, looks; returns the predictions that are worth keeping.

        Raises:
            CellSkipped: the scenario lacks what the method needs.
            CellFailed: training diverged.
        """
        check_capability(self.cell.method, self.method, self.cell.scenario)
        with self.ledger.phases("data"):
            self._open()
        with self.ledger.phases("build"):
            has_source = bool(self.scenario.source) and Access.SOURCE_LABELS in self.method.access
            modules = self._build("source" if has_source else "target")
        self.discrepancy_before = self._discrepancy_now(modules)
        if has_source:
            states, steps = self._source_stage(modules)
            if self.scenario.episodes:
                load_into(modules, states, f"look{len(steps) - 1}.")
            elif self.scenario.shots == 0:
                for place, (step, loss) in enumerate(steps):
                    load_into(modules, states, f"look{place}.")
                    self._look("source", modules, step, loss)
            else:
                load_into(modules, states, f"look{len(steps) - 1}.")
                if not self.scenario.same_classes:
                    self._replace_head(modules, self._task("target"))
        if self.scenario.episodes:
            self._episodes(modules)
        elif self.scenario.shots != 0:
            self._target_stage(modules)
        self.selected = select(self.looks)
        return self._predictions()

    # What the cell works on ---------------------------------------------------------------------------

    def _open(self) -> None:
        """The images of each role. Only `_feed` and `_train` hand any of them to a method."""
        self.scenario = s = self.cell.scenario
        self.dataset = dataset = open_dataset(load_card(s.dataset))
        self.images_from, self.warnings = dataset.origin, dataset.warnings
        name = self.cell.backbone if self.method.pretrained else untrained(self.cell.backbone)
        views = Views(
            self.cell.model_copy(update={"backbone": name}),
            self.setting,
            dataset,
            self.digests,
            self.artifacts,
            self.ledger,
            self.progress,
        )
        torch.manual_seed(stream(self.cell.seed, "init", "backbone"))
        self.backbone = create_backbone(name)
        self.ledger.parameters = sum(p.numel() for p in self.backbone.parameters())
        self.cut = self.method.cut(self.backbone)

        def view(domain: str) -> Inputs:
            return views.get(domain, self.backbone, self.cut, self.method.views)

        self.target_inputs = view(s.target)
        # What a method may adapt to without labels: by default other images than it is tested on.
        seen = TEST if self.cell.transductive else TRAIN
        self.target_unlabelled = subset(dataset, s.target, s.target_classes, seen)
        self.held_out: dict[Part, tuple[Inputs, Subset]] = {}
        if s.source:
            self.source_inputs = view(s.source)
            self.source_train = subset(dataset, s.source, s.source_classes, TRAIN)
        if s.episodes:
            return
        self.shots = draw_shots(dataset, s.target, s.target_classes, s.shots, self.cell.seed)
        held_shots = None
        if self.cell.fold is not None and s.shots != 0:
            self.shots, held_shots = fold_of(self.shots, self.cell.fold)
        self.held_out |= {
            "target-test": (self.target_inputs, subset(dataset, s.target, s.target_classes, TEST)),
            "target-validation": (
                self.target_inputs,
                subset(dataset, s.target, s.target_classes, VALIDATION),
            ),
        }
        if held_shots is not None:
            self.held_out["shots-validation"] = (self.target_inputs, held_shots)
        rest = self.target_unlabelled.without(self.shots)
        # What was trained on with labels says little; with `all` shots there is nothing else.
        pool = rest if len(rest) >= FEWEST else self.target_unlabelled
        self.pool = pool.take(self._picked(len(pool)))
        if s.source:
            self.held_out["source-validation"] = (
                self.source_inputs,
                subset(dataset, s.source, s.source_classes, VALIDATION),
            )

    def _picked(self, images: int) -> np.ndarray:
        """Positions of at most `POOL` images, the same at every look."""
        random = np.random.default_rng(stream(self.cell.seed, "pool"))
        return np.sort(random.permutation(images)[:POOL])

    def _task(self, stage: StageName, classes: tuple[str, ...] = ()) -> Task:
        """The task of a stage: that of the scenario, or of an episode over some of its classes."""
        scenario = self.scenario
        classes = classes or (scenario.source_classes if stage == "source" else scenario.target_classes)
        return Task(stage, classes, self.cell.budget.batch_size, stream(self.cell.seed, "method", stage))

    def _build(self, stage: StageName) -> Modules:
        """A fresh network from the cell's initialisation stream, on the device."""
        backbone = self.backbone
        if self.cut is not None:
            image = torch.zeros(1, 3, self.cell.image_size, self.cell.image_size)
            backbone = suffix(backbone, self.cut, image)
        torch.manual_seed(stream(self.cell.seed, "init", "head", stage))
        modules = self.method.build(backbone, self._task(stage)).to(self.setting.device)
        if self.setting.channels_last:
            modules = modules.to(memory_format=torch.channels_last)
        return modules

    def _replace_head(self, modules: Modules, task: Task) -> None:
        """A new head, for the target's classes."""
        torch.manual_seed(stream(self.cell.seed, "init", "head", "target"))
        self.method.replace_head(modules, task)
        modules.to(self.setting.device)

    # Stages -------------------------------------------------------------------------------------------

    def _source_stage(self, modules: Modules) -> tuple[Tensors, list[tuple[int, float | None]]]:
        """The network's states at the looks of its source stage, trained now or found, and those looks."""
        stage = source_stage(self.cell, Access.TARGET_IMAGES in self.method.access)
        assert stage is not None

        def make() -> tuple[Tensors, dict[str, Any]]:
            states: Tensors = {}
            looks: list[tuple[int, float | None]] = []

            def keep(step: int, loss: float | None) -> None:
                for name, tensor in modules.state_dict().items():
                    states[f"look{len(looks)}.{name}"] = tensor.detach().cpu().clone()
                looks.append((step, loss))

            cost: dict[str, Any] = {}
            with self.ledger.spend("source-stage", cost):
                cost |= self._train(
                    self._task("source"),
                    modules,
                    self.source_inputs,
                    self.source_train,
                    self.cell.budget.steps,
                    keep,
                )
            return states, {**cost, "looks": looks}

        key = combine(stage.key, self.digests.model_dump_json(), self.setting.model_dump_json())
        states, notes, made = self.artifacts.get("source-stage", key, make)
        self.ledger.enter("source-stage", notes, shared=not made)
        self.details |= notes["details"]
        return states, [(step, loss) for step, loss in notes["looks"]]

    def _target_stage(self, modules: Modules) -> None:
        """Train on the shots, and look."""
        cost: dict[str, Any] = {}
        with self.ledger.spend("target-stage", cost):
            cost |= self._train(
                self._task("target"),
                modules,
                self.target_inputs,
                self.shots,
                self.cell.budget.target_steps,
                lambda step, loss: self._look("target", modules, step, loss),
            )
        self.ledger.enter("target-stage", cost, shared=False)
        self.details |= cost["details"]

    def _episodes(self, modules: Modules) -> None:
        """A small target stage per episode, each from a copy of the network, and its queries' logits."""
        form = self.scenario.episodes
        assert form is not None
        count = form.count if self.cut == POOLED else math.ceil(form.count / DEAR)
        scores, queries = [], []
        for number, drawn in enumerate(draw_episodes(self.dataset, self.scenario, count)):
            self.progress("episodes", number, count)
            mine, task = copy.deepcopy(modules), self._task("target", drawn.classes)
            self._replace_head(mine, task)
            cost: dict[str, Any] = {}
            with self.ledger.spend("target-stage", cost):
                cost |= self._train(
                    task, mine, self.target_inputs, drawn.support, form.steps, lambda step, loss: None
                )
            self.ledger.enter("target-stage", cost, shared=False)
            with self.ledger.phases("evaluate"):
                scores.append(
                    evaluate.outputs(
                        self.method,
                        mine,
                        self.target_inputs,
                        drawn.queries,
                        self.cell.precision,
                        batch_statistics=form.batch_norm == "transductive",
                    ).logits.numpy()
                )
            queries.append(drawn.queries)
        self.details["episodes"] = count
        self.held_out = {"target-test": (self.target_inputs, concatenate(queries))}
        self._keep_look("target", form.steps, None, {"target-test": np.concatenate(scores)})

    def _train(
        self,
        task: Task,
        modules: Modules,
        inputs: Inputs,
        labelled: Subset,
        steps: int,
        on_look: OnLook,
    ) -> dict[str, Any]:
        """Train in place, by the method's loss or its closed form; what that took."""
        stage = task.stage
        torch.manual_seed(stream(self.cell.seed, "train", stage))
        method, budget = self.method, self.cell.budget
        parameters, seen = 0, dict[str, int]()
        details: dict[str, Any] = {}
        if method.fits(stage):
            self.progress(f"{stage} fit", 0, 1)
            modules.eval()
            details[f"{stage}-stage"] = method.fit(modules, _all(inputs, labelled), task)
            seen[f"{stage}/fitted"] = len(labelled)
            parameters = sum(p.numel() for p in modules.head.parameters())
            # What a fit has seen, the loop does not see again.
            steps = max(1, steps - math.ceil(len(labelled) / budget.batch_size))
        if not method.trains(stage):
            on_look(1, None)
            return {"streams": seen, "parameters_trained": parameters, "details": details}
        assert isinstance(method, GradientMethod)
        share = method.hold_out if method.judge_at(modules) else 0.0
        trained, held_out = hold_out(labelled, share, stream(self.cell.seed, "hold-out", stage))
        feed = self._feed(method, task, inputs, trained)
        judged = None
        if len(held_out):
            judged = HeldOut(_all(inputs, held_out), self._feed(method, task, inputs, labelled))
        train(
            method,
            modules,
            feed,
            Stage(task, steps, min(budget.looks, steps), self.cell.precision),
            on_look,
            lambda step: self.progress(f"{stage} stage", step, steps),
            judged,
        )
        if found := method.report(modules):
            details[f"{stage}-stage"] = {**details.get(f"{stage}-stage", {}), **found}
        groups_trained = method.trainable(modules)
        return {
            "streams": seen | {f"{stage}/{name}": steps * size for name, size in feed.sizes.items()},
            "parameters_trained": sum(p.numel() for group in groups_trained for p in group["params"]),
            "details": details,
        }

    def _feed(self, method: GradientMethod, task: Task, inputs: Inputs, labelled: Subset) -> Feed:
        """The streams that the method's declared access opens, and no other."""
        access, episode = method.access, method.episode(task)
        replay = task.stage == "target" and self.scenario.source is not None

        def seed(name: str) -> int:
            return stream(self.cell.seed, "feed", task.stage, name)

        def endless(name: str, inputs: Inputs, images: Subset) -> Endless:
            return Endless(inputs, images, task.batch_size, seed(name))

        return Feed(
            Episodes(inputs, labelled, episode, seed("labelled"))
            if episode
            else endless("labelled", inputs, labelled),
            endless("source", self.source_inputs, self.source_train)
            if replay and Access.SOURCE_REPLAY in access
            else None,
            endless("unlabelled", self.target_inputs, self.target_unlabelled)
            if Access.TARGET_IMAGES in access
            else None,
            source_labels=self.scenario.same_classes and not self.scenario.episodes,
        )

    # Looks --------------------------------------------------------------------------------------------

    def _look(self, stage: StageName, modules: Modules, step: int, loss: float | None) -> None:
        """Evaluate on what is held out; the method takes no part in it."""
        with self.ledger.phases("evaluate"):
            source_scores = stage == "source" or self.scenario.same_classes
            outputs = {
                part: self._outputs(modules, inputs, images)
                for part, (inputs, images) in self.held_out.items()
            }
            found = self._label_free(modules, outputs, source_scores)
        logits = {
            part: seen.logits.numpy()
            for part, seen in outputs.items()
            if part != "source-validation" or source_scores
        }
        self._keep_look(stage, step, loss, logits, found)

    def _keep_look(
        self,
        stage: StageName,
        step: int,
        loss: float | None,
        logits: dict[Part, np.ndarray],
        found: LabelFree = NOTHING,
    ) -> None:
        """Score what a look saw, and keep it."""
        if not all(np.isfinite(scores).all() for scores in logits.values()):
            raise CellFailed(f"diverged: logits are not finite after step {step} of the {stage} stage")
        labels = {part: images.labels for part, (_, images) in self.held_out.items()}
        accuracy = {part: evaluate.accuracy(scores, labels[part]) for part, scores in logits.items()}
        source: Part = "source-validation"
        self.logits.append(logits)
        self.looks.append(
            Look(
                stage=stage,
                step=step,
                train_loss=loss,
                source_validation_loss=(
                    evaluate.cross_entropy(logits[source], labels[source]) if source in logits else None
                ),
                source_validation_accuracy=accuracy.get(source),
                shots_validation_accuracy=accuracy.get("shots-validation"),
                target_validation_accuracy=accuracy.get("target-validation"),
                target_test_accuracy=accuracy["target-test"],
                validators=found.validators,
                discrepancy=found.discrepancy,
                diversity=found.diversity,
            )
        )

    def _outputs(self, modules: Modules, inputs: Inputs, images: Subset) -> Outputs:
        return evaluate.outputs(self.method, modules, inputs, images, self.cell.precision)

    def _label_free(self, modules: Modules, outputs: dict[Part, Outputs], source_scores: bool) -> LabelFree:
        """What unlabelled target images and held-out source images say, without target labels."""
        source, labels = outputs.get("source-validation"), None
        if source is not None:
            picked = self._picked(len(source.groups))
            source = source.take(picked)
            if source_scores:
                labels = torch.from_numpy(self.held_out["source-validation"][1].labels[picked])
        target = self._outputs(modules, self.target_inputs, self.pool)
        return label_free(target, source, labels, stream(self.cell.seed, "domain-folds"))

    def _discrepancy_now(self, modules: Modules) -> dict[str, float]:
        """How far apart source and target are; nothing where there is no source."""
        if "source-validation" not in self.held_out:
            return {}
        part: Part = "source-validation"
        with self.ledger.phases("evaluate"):
            source = {part: self._outputs(modules, *self.held_out[part])}
            return self._label_free(modules, source, False).discrepancy

    def _predictions(self) -> Predictions:
        """Logits of the looks that some rule selects, with labels and groups to score them by.

        Those of test images for all of them, of target validation images for the headline's alone, of source
        ones for none: rules go by scores that the looks hold already, and records are to stay small.
        """
        out: Predictions = {}
        for place in sorted(set(self.selected.values())):
            for part, scores in self.logits[place].items():
                headline = place == self.selected[HEADLINE] and part != "source-validation"
                if part == "target-test" or headline:
                    out[f"look{place}/{part}/logits"] = scores
        for part, (_, images) in self.held_out.items():
            out[f"{part}/labels"] = images.labels.astype(np.int16)
            out[f"{part}/groups"] = images.groups.astype(np.int32)
            out[f"{part}/items"] = images.rows.astype(np.int32)
        return out


def _all(inputs: Inputs, images: Subset) -> Labelled:
    """All images of a subset at once, not augmented."""
    x = inputs.take(images.rows)
    return Labelled(x, *(torch.from_numpy(a).to(x.device) for a in (images.labels, images.groups)))


def check_capability(name: str, method: Method, scenario: Scenario) -> None:
    """Raise `CellSkipped` when a method lacks what it needs, or is asked for what it may not use."""
    offered = Access.TARGET_IMAGES
    if scenario.source:
        offered |= Access.SOURCE_LABELS | Access.SOURCE_REPLAY
    if scenario.shots != 0:
        offered |= Access.TARGET_LABELS
    lacking = method.needs & ~offered
    if lacking:
        what = {
            Access.SOURCE_LABELS: f"a labelled source, and kind '{scenario.kind}' has none",
            Access.SOURCE_REPLAY: f"a labelled source, and kind '{scenario.kind}' has none",
            Access.TARGET_LABELS: f"labelled target images, and {scenario.shots} shots have none",
        }
        raise CellSkipped(f"{name} needs {next(what[flag] for flag in lacking)}")
    if scenario.shots == 0 and Access.SOURCE_LABELS not in method.access:
        raise CellSkipped(f"{name} makes no use of a labelled source, and 0 shots leave nothing else")
    if scenario.shots != 0 and Access.TARGET_LABELS not in method.access:
        raise CellSkipped(f"{name} makes no use of labelled target images")
    # Last, since it alone can be mended: what holds on every machine is the better reason.
    if lacks := method.unavailable():
        raise CellSkipped(f"{name} {lacks}")
