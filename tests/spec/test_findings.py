"""Findings of papers, as they come with the package and as somebody may write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.spec.findings import Comparison, Finding, Ranking, Where, finding_names, load_finding
from bench.spec.matrix.plan import plan
from bench.spec.matrix.suite import load_suite

FINDINGS = [load_finding(name) for name in finding_names()]


def comparison(**changes: Any) -> Comparison:
    known: dict[str, Any] = {
        "about": "a over b",
        "plus": [{"method": "a"}],
        "minus": [{"method": "b"}],
        "expected": "higher",
        "margin": 1.0,
    }
    return Comparison(**{**known, **changes})


def test_there_are_a_dozen() -> None:
    assert len(FINDINGS) >= 12
    assert len({finding.title for finding in FINDINGS}) == len(FINDINGS)


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.name)
def test_a_finding_asks_for_cells_of_its_suite(finding: Finding) -> None:
    suite = load_suite(finding.suite)
    assert len(suite.seeds) >= 3
    cells = plan(suite, load_card(suite.dataset))
    for each in finding.asked:
        for term in each.terms:
            own = [c for c in cells if c.method == term.method and finding.takes(each, term, c)]
            assert own, (each.about, term)
            units = {
                (
                    c.scenario.source,
                    c.scenario.target,
                    c.seed,
                    c.backbone if isinstance(each, Ranking) else "",
                )
                for c in own
            }
            assert len(units) == len(own), f"{each.about}: which of several cells?"


def test_where_narrows() -> None:
    suite = load_suite("reproduce-digits")
    cells = plan(suite, load_card(suite.dataset))
    taken = [c for c in cells if Where(target="optical", backbone="ganin_mnist.untrained").takes(c)]
    assert len(taken) == len(suite.methods) * len(suite.seeds)
    assert all(Where().takes(c) for c in cells)
    assert not any(Where(shots=5).takes(c) for c in cells)
    assert all(Where(shots=0).takes(c) for c in cells)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UserError, match=r"unknown finding 'dan-mnist-m': did you mean 'dann-mnist-m"):
        load_finding("dan-mnist-m")
    with pytest.raises(ValidationError, match="name as many terms"):
        comparison(plus=[{"method": "a"}, {"method": "c"}])
    with pytest.raises(ValidationError, match="there is no rule 'orakel': did you mean 'rankme' or 'oracle'"):
        comparison(plus=[{"method": "a", "rule": "orakel"}])
    with pytest.raises(ValidationError, match="there is nothing to measure"):
        Finding(name="x", title="", paper="", url="https://x", says="", suite="smoke")
    with pytest.raises(ValidationError, match="margin"):
        comparison(margin=0.0)
