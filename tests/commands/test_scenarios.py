"""Kinds of scenarios on the command line: what is planned, and requests that are wrong in a line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.commands.experiments.tune import allowed_score
from tests.report.synthetic import cell, record

SUITE = """
description = "kinds"
dataset = "emoji-home"
domains = {domains}
classes = 6
backbones = ["tf_efficientnet_lite0"]
methods = ["linear-probe"]
{more}

[[scenarios]]
shots = [0]
{table}
"""
THREE = '["apple", "google", "twitter"]'


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(
    monkeypatch: pytest.MonkeyPatch, table: str, domains: str = THREE, more: str = ""
) -> int | str | None:
    """Exit code of planning a suite."""
    Path("mine.toml").write_text(SUITE.format(table=table, domains=domains, more=more), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["bench", "run", "--suite", "mine.toml", "--plan"])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


@pytest.mark.parametrize(
    ("table", "pair"),
    [
        ('kind = "multi-source"\nsources = [["google", "apple"]]', "apple + google → twitter"),
        ('kind = "generalise"\nhold_out = ["google"]', "apple + twitter → google"),
        ('kind = "partial"\ntarget_classes = 3', "apple → google"),
        ('kind = "open"\nunknown = 3', "apple → google"),
        ('kind = "source-free"', "apple → google"),
    ],
)
def test_kinds_are_planned(
    table: str, pair: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = planned(monkeypatch, table)
    output = capsys.readouterr()
    assert not code, output.err
    assert pair in output.out


@pytest.mark.parametrize(
    ("table", "domains", "more", "said"),
    [
        ('kind = "generalise"', '["apple"]', "", "takes 1 source or more beside the target 'apple', not 0"),
        ('kind = "multi-source"', '["apple", "google"]', "", "takes 2 sources or more"),
        (
            'kind = "multi-source"\nsources = [["google", "apple"]]\ntargets = ["apple"]',
            *(THREE, "", "'apple' is a target and among its sources"),
        ),
        ('kind = "multi-source"\nsources = [["google", "aple"]]', THREE, "", "did you mean 'apple'"),
        ('kind = "open"\nunknown = 5', THREE, "", "unknown = 5 of 6 classes"),
        ('kind = "partial"\ntarget_classes = 9', THREE, "", "target_classes = 9 of the source's 6"),
        ('kind = "generalise"', THREE, 'headline = "oracle"', "rule 'oracle' goes by the target's images"),
    ],
)
def test_what_cannot_be_is_a_line(
    table: str,
    domains: str,
    more: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert planned(monkeypatch, table, domains, more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_trials_on_an_unseen_target_go_by_the_sources() -> None:
    asked = cell(source=("art", "photo"), shots=0)
    unseen = asked.model_copy(update={"scenario": asked.scenario.model_copy(update={"kind": "generalise"})})
    assert allowed_score(record(unseen)) == 0.8
    assert allowed_score(record(asked)) is None, "no validator was computed"
