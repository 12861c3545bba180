"""Words that a page explains where the pointer or the keyboard rests on them, and in its glossary."""

from __future__ import annotations

GLOSSARY: dict[str, str] = {
    "method": "A way of transferring a pretrained network to the target: fine-tuning, adapting, a probe, …",
    "target": "The domain that the answer is wanted for; {metric} is on its test {items}.",
    "source": "Another domain, or other classes, with plenty of labelled {items}.",
    "labels": "Labelled target {items} that a method may learn from, per class.",
    "pair": "A source domain and a target domain.",
    "cell": "One method on one pair of domains with one number of labels and one seed.",
    "seed": "Number that every random choice of a run comes from; another seed is another run.",
    "baseline": "The method that gains are counted from.",
    "gain": "Points of {metric} more than the baseline, on the same question and seed.",
    "95 % interval": "Where the number would likely lie for other test {items}, and with several seeds for "
    "other runs; pairs of domains are held fixed.",
    "no proven loss": "The 95 % interval of its difference to the {most} one holds zero: it may be as "
    "good, or worse by as much as the interval says.",
    "avoid": "Proven to be worse, with all comparisons of the table allowed for, than a method here that "
    "takes no longer.",
    "not separable": "Not told apart at the 5 % level, with all comparisons of the table allowed for (Holm).",
    "group": "Methods that share a letter are not separable.",
    "place": "A range where methods cannot be told apart.",
    "seconds alone": "Median wall time of a cell that shares nothing with others, where it was run.",
    "control": "The same method without its idea, and with the same recipe: optimiser, schedule, batch norm.",
    "negative transfer": "Doing worse with the source, or with adapting, than without.",
    "oracle": "Chooses the checkpoint by target test labels, which nobody has: for judging rules only.",
    "ECE": "Expected calibration error: how far confidence is from accuracy, in percent.",
}
"""Words and what they mean, in the order of the glossary; `scores.words.Words.fill` fills them in."""
