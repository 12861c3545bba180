"""The table of five areas in the documents is of the committed records."""

from __future__ import annotations

from tests.project.areas import tables
from tests.support.checkout import ROOT


def test_the_table_is_of_the_committed_records() -> None:
    text = (ROOT / "docs" / "modalities.md").read_text(encoding="utf-8")
    for table in tables().split("\n\n"):
        assert table.strip() in text
