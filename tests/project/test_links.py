"""The check of links on a small site made by hand."""

from __future__ import annotations

from pathlib import Path

from tests.project.links import broken


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="deep/page.html#there">1</a><a href="deep/page.html#not">2</a><a href="deep/">3</a>'
        '<a href="https://example.org/x">4</a><img src="no.png"><a href="#own">5</a><p id="own"></p>'
    )
    (tmp_path / "deep" / "page.html").write_text(
        '<h1 id="there"></h1><a href="../index.html">1</a><a href="../../x">2</a>'
    )
    assert broken(tmp_path) == [
        "deep/page.html: ../../x",
        "index.html: deep/",
        "index.html: deep/page.html#not",
        "index.html: no.png",
    ]
