"""Gate that tells which changes are regressions, and the summary for a pull request."""

from __future__ import annotations

import json
from dataclasses import asdict

from bench.core.text import counted
from bench.report.regression.compare import RunComparison
from bench.report.render.markdown import escape, pipes
from bench.report.render.templates import environment
from bench.report.tables import formats
from bench.spec.matrix.suite import Gate


def columns(found: RunComparison) -> dict[str, bool]:
    """Columns of the table of methods, and which of them are numbers."""
    numbers = {"method": False, "base, %": True, "new, %": True, "points": True}
    return {**numbers, found.metric: False, "time": True, "speed": False}


def regressions(found: RunComparison, gate: Gate) -> list[str]:
    """Line for each change that a gate does not let pass."""
    lines = []
    for change in (*found.methods, *found.cells):
        if change.verdict in ("gone", "changed"):
            lines.append(f"{change.name}: {change.verdict}: {change.why}")
        elif change.verdict == "worse" and -(change.points or 0.0) > gate.max_accuracy_drop:
            before, after = formats.percent(change.base), formats.percent(change.new)
            gap = formats.points(change.points)
            lines.append(f"{change.name}: {change.metric} {before} to {after} % ({gap} points)")
    for pace in found.speed:
        if pace.verdict == "worse" and pace.ratio and pace.ratio > 1 + gate.max_slowdown:
            lines.append(f"{pace.name}: training takes {pace.ratio:.2f} times as long")
    return lines


def markdown(found: RunComparison, bad: list[str]) -> str:
    """Summary for a pull request."""
    counts = {
        v: sum(c.verdict == v for c in found.cells) for v in dict.fromkeys(c.verdict for c in found.cells)
    }
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    lines = [
        f"**{counted(len(bad), 'regression')}**, {escape(found.base)} to {escape(found.new)}",
        "",
    ]
    lines += [*(f"- {escape(line)}" for line in bad), *([""] if bad else []), f"Cells: {verdicts}.", ""]
    if found.caution:
        lines += [f"Caution: {escape(found.caution)}.", ""]
    return "\n".join(lines) + "\n" + pipes(columns(found), table(found))


def table(found: RunComparison) -> list[list[str]]:
    """Rows of methods: name, accuracies, points, verdict, ratio of times, verdict, as text."""
    speed = {pace.name: pace for pace in found.speed}
    rows = []
    for change in found.methods:
        pace = speed[change.name]
        numbers = [formats.percent(change.base), formats.percent(change.new), formats.points(change.points)]
        ratio = f"{pace.ratio:.2f}" if pace.ratio else formats.DASH
        rows.append(
            [change.name, *numbers, change.verdict, ratio, pace.verdict if pace.ratio else "not comparable"]
        )
    return rows


def as_json(found: RunComparison, bad: list[str]) -> str:
    """JSON of the comparison, for programs."""
    return json.dumps({"regressions": bad, **asdict(found)}, indent=1) + "\n"


def html(found: RunComparison, bad: list[str]) -> str:
    """Page of the comparison."""
    cells = [c for c in found.cells if c.verdict != "same"]
    return (
        environment()
        .get_template("compare.html")
        .render(found=found, bad=bad, columns=[*columns(found)], rows=table(found), cells=cells)
    )
