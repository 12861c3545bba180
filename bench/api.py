"""Everything a method's author imports, and nothing else.

A method is one file in `methods/` with one `Method` class: its fields are its hyperparameters, its verbs
say what is its own. The engine owns the loop, the budget, the data and the evaluation.
"""

from __future__ import annotations

from bench.core.errors import CellSkipped, UserError
from bench.method.base import ClosedFormMethod, GradientMethod, Method, Model, tunable
from bench.method.batch import Access, Batch, Episode, Labelled, StageName, Task
from bench.method.episodic import EpisodicMethod, InnerLoopMethod
from bench.method.maths.inner_loop import Fast, adapt, prototype_head, prototypes
from bench.method.maths.logistic import fit_logistic
from bench.networks.backbones import Backbone
from bench.networks.split import POOLED
from bench.networks.task_parallel import mean_gradient

__all__ = [
    "POOLED",
    "Access",
    "Backbone",
    "Batch",
    "CellSkipped",
    "ClosedFormMethod",
    "Episode",
    "EpisodicMethod",
    "Fast",
    "GradientMethod",
    "InnerLoopMethod",
    "Labelled",
    "Method",
    "Model",
    "StageName",
    "Task",
    "UserError",
    "adapt",
    "fit_logistic",
    "mean_gradient",
    "prototype_head",
    "prototypes",
    "tunable",
]
