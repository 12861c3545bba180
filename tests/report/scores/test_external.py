"""Tables of published results: what can be read is read, what cannot is said, a line each."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import UserError
from bench.report.scores.external import LARGEST, PublishedTable, few, read_published

DOMAINS = {"toys": ("photo", "sketch", "Real World")}


def read(folder: Path, *lines: str, domains: dict[str, tuple[str, ...]] = DOMAINS) -> PublishedTable:
    path = folder / "own.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_published(path, domains)


def test_every_column(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        "# From somewhere.",
        "# Mind the protocol.",
        "Method;Backbone;Pair;Shots;Accuracy;Std;Citation;Selection_rule;Transductive",
        "DANN;resnet50;photo -> real_world;5;61.5;0.4;Ganin et al. 2016;oracle;yes",
        "Probe;;pretrained → Sketch;all;40;;;;no",
        "Probe;;average;;42.5 %;;;;",
    )
    assert table.faults == ()
    assert table.note == "From somewhere. Mind the protocol."
    dann, probe, mean = table.results
    assert (dann.dataset, dann.method, dann.pair, dann.shots) == ("toys", "DANN", "photo → Real World", "5")
    assert (dann.accuracy, dann.deviation, dann.line) == (61.5, 0.4, 4)
    assert dann.origin == "resnet50, Ganin et al. 2016"
    assert dann.protocol == "chosen by oracle, transductive"
    assert (probe.source, probe.target, probe.shots, probe.protocol) == (None, "sketch", "all", "inductive")
    assert (mean.pair, mean.shots, mean.accuracy, mean.origin, mean.protocol) == (
        "average",
        "0",
        42.5,
        "",
        "",
    )


def test_fractions_of_one_become_percent(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        "method,source,target,accuracy,deviation",
        "a,photo,sketch,0.5,0.02",
        "b,photo,sketch,1.0,",
        "c,photo,sketch,0,",
    )
    assert [(each.accuracy, each.deviation) for each in table.results] == [(50, 2), (100, None), (0, None)]
    assert table.faults == ()


@pytest.mark.parametrize(
    ("accuracies", "kept", "fault"),
    [
        ((50, 60, 0.7), [50, 60], "line 4: fractions among percent are left out: write all accuracies alike"),
        ((0.5, 60, 0.7), [50, 70], "line 3: percent among fractions are left out"),
        ((50, 0.6, 0.7, 80), [50, 80], "lines 3, 4: fractions among percent are left out"),
    ],
)
def test_percent_and_fractions_are_not_mixed(tmp_path: Path, accuracies, kept, fault: str) -> None:
    rows = [f"m{i},photo,sketch,{accuracy}" for i, accuracy in enumerate(accuracies)]
    table = read(tmp_path, "method,source,target,accuracy", *rows)
    assert [each.accuracy for each in table.results] == pytest.approx(kept)
    assert len(table.faults) == 1
    assert table.faults[0].startswith(fault)


FAULTS = {
    "toys,,photo → sketch,0,50": "names no method",
    "toys,a,photo → skethc,0,50": "unknown domain of toys 'skethc': did you mean 'sketch'?",
    "toys,a,foto → sketch,0,50": "unknown domain of toys 'foto': did you mean 'photo'?",
    "toys,a,photo → average,0,50": "'photo → average' is a mean over some of the pairs",
    "toys,a,,0,50": "unknown domain of toys '': choose from: Real World, photo, sketch",
    "toys,a,photo → sketch,few,50": "shots 'few': a whole number of labelled images per class, or all",
    "toys,a,photo → sketch,-1,50": "shots '-1'",
    "toys,a,photo → sketch,0,fifty": "accuracy 'fifty': a number from 0 to 100, or from 0 to 1 in all lines",
    "toys,a,photo → sketch,0,nan": "accuracy 'nan'",
    "toys,a,photo → sketch,0,150": "accuracy '150'",
    "toys,a,photo → sketch,0": "accuracy ''",
    "toys,good,photo->sketch,0,70": "repeats line 2 (good, photo → sketch), which is shown",
    "toys,Go-od,photo->sketch,00,70": "repeats line 2",
}


@pytest.mark.parametrize("row", FAULTS)
def test_a_faulty_line_is_named_and_the_rest_shown(tmp_path: Path, row: str) -> None:
    header = "dataset,method,pair,shots,accuracy"
    table = read(tmp_path, header, "toys,good,photo → sketch,0,60", row, "toys,b,sketch → photo,0,61")
    assert [each.method for each in table.results] == ["good", "b"]
    (fault,) = table.faults
    assert fault.startswith("line 3: ")
    assert FAULTS[row] in fault


def test_other_datasets_are_left_out(tmp_path: Path) -> None:
    rows = ("dataset,method,pair,accuracy", "toys,a,average,50", "others,a,x → y,50")
    table = read(tmp_path, *rows)
    assert [each.dataset for each in table.results] == ["toys"]
    assert (table.faults, table.elsewhere) == ((), ("others",))
    several = read(tmp_path, "method,pair,accuracy", "a,average,50", domains={**DOMAINS, "more": ("x", "y")})
    assert several.faults == ("line 2: names no dataset, which is one of toys, more",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line names no column"),
        ("# nothing\n", "its first line names no column"),
        ("method,accuracy\n", "has no column pair (or source and target), but 'method', 'accuracy'"),
        ("method,source,accuracy\n", "has no column pair"),
        ("Approach,pair,accuracy\n", "has no column method, but 'Approach'"),
        ("method,pair,accuracy,std,sd\n", "has 2 columns for 'deviation'"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_published(path, DOMAINS)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LARGEST + 1)
    (tmp_path / "folder").mkdir()
    for name in ("binary", "large", "folder", "missing"):
        with pytest.raises(UserError, match=f"cannot read the table .*{name}"):
            read_published(tmp_path / name, DOMAINS)


CELLS = st.one_of(
    st.sampled_from(
        ["dann", "photo → sketch", "average", "0.5", "50", "1e999", "-0", "all", "٣", '"', "yes"]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
)


@given(st.lists(st.lists(CELLS, max_size=9), max_size=5))
def test_whatever_is_in_a_table_is_read_or_said(rows: list[list[str]]) -> None:
    header = "method,pair,accuracy,shots,deviation,dataset,transductive,rule,citation"
    with tempfile.TemporaryDirectory() as folder:
        table = read(Path(folder), header, *(",".join(row) for row in rows))
    for each in table.results:
        assert 0 <= each.accuracy <= 100
        assert each.dataset == "toys"
        assert f"{each.pair}{each.origin}{each.protocol}{each.method}".isprintable()


def test_cells_are_short_and_printable(tmp_path: Path) -> None:
    table = read(tmp_path, "method,pair,accuracy", f"a\x1b[31m{'b' * 500},average,50")
    (each,) = table.results
    assert each.method.startswith("a\\x1b[31m")
    assert len(each.method) == 200


def test_of_many_faults_the_first_are_named() -> None:
    assert few(["a", "b"]) == ["a", "b"]
    assert few([str(n) for n in range(23)])[-2:] == ["19", "and 3 lines more"]
