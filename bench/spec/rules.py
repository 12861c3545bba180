"""Names of the selection rules and of the label-free validators; `bench.records.selection` applies them."""

from __future__ import annotations

VALIDATORS = {
    "entropy": "lowest mean entropy of the predictions (Morerio et al. 2018)",
    "infomax": "most information of the image in the predictions (Bridle et al. 1991; Shi & Sha 2012)",
    "snd": "highest soft neighbourhood density (Saito et al. 2021)",
    "bnm": "highest nuclear norm of the predictions (Cui et al. 2020)",
    "rankme": "highest effective rank of the features (Garrido et al. 2023)",
    "dev": "lowest deep embedded validation risk, from source labels (You et al. 2019)",
}
"""Scores of unlabelled target images, each a rule under its name."""

SOURCE_VAL = "source-val"

LABEL_FREE = (SOURCE_VAL, *VALIDATORS)
"""Rules that score an evaluation, and need no target label to do so."""

SHARES = (SOURCE_VAL, "bnm")
"""Those of them whose scores are shares of the largest possible one; others are nats, or a rank."""

TUNES_BY = "bnm"
"""Rule that scores the trials of `bench tune` where there are no shots; docs/measurements/statistics.md has
the numbers that chose it."""

TARGETLESS = ("last", SOURCE_VAL)
"""Rules that look at no image of the target."""

RULES = ("last", *LABEL_FREE, "oracle")
"""Rules that say which evaluation of a run is its result."""
