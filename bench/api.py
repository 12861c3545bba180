"""Everything a method's author imports, and nothing else.

A method is one file in `methods/` with one `Method` class: its fields are its hyperparameters, its verbs
say what is its own. The engine owns the loop, the budget, the data and the evaluation.
"""

from __future__ import annotations

from bench.backbones import Backbone
from bench.cut import POOLED
from bench.episodic import EpisodicMethod, InnerLoopMethod
from bench.errors import UserError
from bench.logistic import fit_logistic
from bench.meta import Fast, adapt, prototype_head, prototypes
from bench.method import (
    Access,
    Batch,
    ClosedFormMethod,
    Episode,
    GradientMethod,
    Labelled,
    Method,
    Modules,
    StageName,
    Task,
    tunable,
)
from bench.task_batch import mean_gradient

__all__ = [
    "POOLED",
    "Access",
    "Backbone",
    "Batch",
    "ClosedFormMethod",
    "Episode",
    "EpisodicMethod",
    "Fast",
    "GradientMethod",
    "InnerLoopMethod",
    "Labelled",
    "Method",
    "Modules",
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
