"""Everything a method's author imports, and nothing else.

A method is one file in a family's folder of `methods/` with one `Method` class: its fields are its
hyperparameters, its verbs say what is its own. The engine owns the loop, the budget, the data and the
evaluation.
"""

from __future__ import annotations

from bench.core.errors import CellSkipped, UserError
from bench.method.alignment import AdversarialMethod, AlignmentMethod, Side
from bench.method.base import (
    ClosedFormMethod,
    Details,
    GradientMethod,
    Method,
    Model,
    ParameterGroups,
    Update,
    tunable,
    zero_head,
)
from bench.method.batch import Access, Batch, Episode, Labelled, StageName, Task
from bench.method.episodic import EpisodicMethod, InnerLoopMethod
from bench.method.federated import FederatedMethod, Federation
from bench.method.generalisation import GeneralisationMethod, count_sources, risks
from bench.method.items import Items, StageItems, even_share
from bench.method.maths.adversarial import discriminator, domain_loss, reversal_strength, reverse_gradient
from bench.method.maths.importance import Importance, fisher_diagonal
from bench.method.maths.information import entropy
from bench.method.maths.inner_loop import Fast, adapt, prototype_head, prototypes
from bench.method.maths.kernels import discrepancy, gaussian_kernels, squared_distances
from bench.method.maths.logistic import Logistic, fit_logistic, strength_before
from bench.method.maths.memory import Memory
from bench.method.maths.normalisation import BatchNorm, normalise_by_batch, recompute_statistics
from bench.method.maths.transport import lacks_transport
from bench.method.maths.trees import Trees
from bench.method.maths.weights import Snapshot
from bench.method.named import NamedMethod, NamesHead
from bench.method.probed import ProbedMethod
from bench.networks.backbones.base import Backbone
from bench.networks.backbones.create import pretrained_head
from bench.networks.split import POOLED, stage_activations
from bench.networks.task_parallel import mean_gradient

__all__ = [
    "POOLED",
    "Access",
    "AdversarialMethod",
    "AlignmentMethod",
    "Backbone",
    "Batch",
    "BatchNorm",
    "CellSkipped",
    "ClosedFormMethod",
    "Details",
    "Episode",
    "EpisodicMethod",
    "Fast",
    "FederatedMethod",
    "Federation",
    "GeneralisationMethod",
    "GradientMethod",
    "Importance",
    "InnerLoopMethod",
    "Items",
    "Labelled",
    "Logistic",
    "Memory",
    "Method",
    "Model",
    "NamedMethod",
    "NamesHead",
    "ParameterGroups",
    "ProbedMethod",
    "Side",
    "Snapshot",
    "StageItems",
    "StageName",
    "Task",
    "Trees",
    "Update",
    "UserError",
    "adapt",
    "count_sources",
    "discrepancy",
    "discriminator",
    "domain_loss",
    "entropy",
    "even_share",
    "fisher_diagonal",
    "fit_logistic",
    "gaussian_kernels",
    "lacks_transport",
    "mean_gradient",
    "normalise_by_batch",
    "pretrained_head",
    "prototype_head",
    "prototypes",
    "recompute_statistics",
    "reversal_strength",
    "reverse_gradient",
    "risks",
    "squared_distances",
    "stage_activations",
    "strength_before",
    "tunable",
    "zero_head",
]
