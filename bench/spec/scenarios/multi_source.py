"""Same classes, several sources that are trained on as one: each pool of sources to every other target.

Mansour et al. 2009, https://papers.nips.cc/paper/3550-domain-adaptation-with-multiple-sources; Peng et al.
2019, https://arxiv.org/abs/1812.01754, whose protocol is "all other domains to this one".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bench.core.text import counted
from bench.spec.scenarios.base import Pair, ScenarioKind, Sides


class MultiSource(ScenarioKind):
    """Labelled sources together, equally many of each in a step; unlabelled target, and its shots, if any.

    `sources = [["a", "b"], ["a", "c"]]` names pools; `["a", "b", "c"]` and `"all"` stand for one pool, of
    which each target has all but itself.
    """

    source = "sources: several other domains together"
    pools_sources = True
    fewest = 2
    """Sources of a cell."""

    def check_sources(self, sources: Sides | Literal["all"]) -> None:
        """Check that sources are named alike, and lists of them are long enough."""
        lists = [source for source in sources if not isinstance(source, str)]
        if lists and len(lists) < len(sources):
            raise ValueError(
                f"names '{next(s for s in sources if isinstance(s, str))}' beside lists of sources"
            )
        for pool in lists:
            if len(set(pool)) < self.fewest:
                raise ValueError(f"has {self.fewest} sources or more in a list, not {[*pool]}")

    def pairs(self, sources: Sides, targets: Sequence[str]) -> list[Pair]:
        """Each pool of sources with the targets outside of it, in the order of the pools."""
        pools = [source for source in sources if not isinstance(source, str)]
        if pools:
            return [
                (tuple(sorted(set(pool))), target)
                for pool in pools
                for target in targets
                if target not in pool
            ]
        found, few = list[Pair](), counted(self.fewest, "source")
        for target in targets:
            pool = tuple(sorted({source for source in sources if isinstance(source, str)} - {target}))
            if len(pool) < self.fewest:
                raise ValueError(f"takes {few} or more beside the target '{target}', not {len(pool)}")
            found.append((pool if len(pool) > 1 else pool[0], target))
        return found
