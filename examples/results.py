"""Results as a tidy frame: python examples/results.py [results/quick]."""

from __future__ import annotations

import sys

import bench

frame = bench.load_results(sys.argv[1] if len(sys.argv) > 1 else "results/quick")
# Controls are there to be compared with their methods, not to be ranked.
done = frame[(frame["status"] == "done") & (frame["control_of"] == "")]

# Accuracy in percent by method and scenario, mean over seeds.
accuracy = done.pivot_table(index="method", columns=["kind", "shots"], values="accuracy last")
print(accuracy.round(1).to_string(), end="\n\n")

# What the label-free headline rule gives away against the oracle, which looks at target labels.
gap = (done["accuracy oracle"] - done["accuracy last"]).groupby(done["method"]).mean()
print(gap.to_frame("oracle gap, points").round(1).to_string(), end="\n\n")

# Accuracy for time: points of accuracy and median seconds of a cell that shares nothing.
cost = done.groupby("method").agg(accuracy=("accuracy last", "mean"), seconds=("seconds_alone", "median"))
print(cost.sort_values("seconds").round(1).to_string())
