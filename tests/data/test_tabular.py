"""Rows of tables and sequences of letters: read, told apart, decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bench.core.errors import UserError
from bench.data.dataset import open_dataset
from bench.data.decoders import DECODERS
from bench.data.decoders.base import Unreadable
from bench.data.doctor.examine import examine
from bench.data.sources.tabular.columns import MOST_CATEGORIES, numbers, read_csv
from bench.data.splits import splits
from tests.support.tabular import ROWS, credit_csv, sequence_card, table_card


def test_columns_become_numbers() -> None:
    table = read_csv(b"a,b,c,d\n1,x,true,2020-01-02\n,y,false,2020-01-01\n3,x,,2020-01-01\n", "t.csv")
    found, names = numbers(table, ["a", "b", "c", "d"])
    assert names == ["a", "a is missing", "b = x", "b = y", "c", "c is missing", "d"]
    nan, day = np.nan, 18262
    expected = [[1, 0, 1, 0, 1, 0, day + 1], [nan, 1, 0, 1, 0, 0, day], [3, 0, 1, 0, nan, 1, day]]
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))


def test_the_most_frequent_categories_have_a_column() -> None:
    texts = [f"t{number}" for number in range(MOST_CATEGORIES + 9) for _ in range(number + 1)]
    _, names = numbers(pa.table({"town": texts}), ["town"])
    assert names == [f"town = t{number}" for number in range(MOST_CATEGORIES + 8, 8, -1)]


def test_infinite_numbers_are_missing() -> None:
    found, names = numbers(pa.table({"a": [1.0, np.inf, 1e300]}), ["a"])
    assert names == ["a", "a is missing"]
    np.testing.assert_array_equal(found[:, 1], [0, 1, 1])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": pa.array([None, None], pa.float64())}, "column 'a' has no value in any row: leave it out"),
        ({"a": [[1], [2]]}, "column 'a' holds list<.*>: numbers, texts"),
        ({}, "the table has 0 columns of features: 1 to 4,096"),
        ({f"c{n}": [1, 2] for n in range(10_000)}, "the table has 10,000 columns of features: 1 to 4,096"),
    ],
)
def test_bad_columns_are_refused_in_a_line(columns: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        numbers(pa.table(columns), [*columns])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2,3\n", "cannot read the table t.csv: .*Expected 2 columns, got 3"),
        (b"", "cannot read the table t.csv: Empty CSV file"),
        (b"a\n\xff\xfe\n", None),
    ],
)
def test_what_is_no_table(content: bytes, message: str | None) -> None:
    if message is None:
        with pytest.raises(UserError):
            numbers(read_csv(content, "t.csv"), ["a"])
        return
    with pytest.raises(UserError, match=message):
        read_csv(content, "t.csv")


def test_rows_are_raw_numbers_of_people(fresh: Path) -> None:
    dataset = open_dataset(table_card(), download=False)
    assert not dataset.warnings
    small = dataset.domains["small"]
    assert small.labels.tolist() == [row % 2 for row in range(ROWS)]
    assert small.names == tuple(f"small-{row}" for row in range(ROWS))
    assert [small.group_names[group] for group in small.groups] == [*small.names]
    decoded = dataset.decoded("small", 8)
    first = credit_csv().decode().splitlines()[1].split(",")
    town = [float(first[4] == name) for name in ("north", "south")]
    assert first[3] == ""
    np.testing.assert_allclose(decoded[0, :2], [float(first[2]), np.nan])
    assert decoded[0, 2] == 1
    assert sorted(decoded[0, 3:5]) == sorted(town)
    assert decoded[0, 5] == 1
    assert np.isnan(decoded[:, 6:]).all(), "columns that the table does not have"


def test_equal_rows_are_different_people(fresh: Path) -> None:
    lines = ["number,limit,owed,late"] + [f"{row},{50 + row % 2 * 100},7,{row // 2 % 2}" for row in range(40)]
    dataset = open_dataset(table_card("\n".join(lines).encode()), download=False)
    for domain in dataset.domains.values():
        assert len(set(domain.names)) == len({*domain.groups.tolist()}) == 20
        assert len(set(domain.digests)) == 1
        assert {*splits(dataset, domain).tolist()} == {0, 1, 2}


def test_a_row_is_not_cut(fresh: Path) -> None:
    with pytest.raises(UserError, match="6 columns, more than image_size = 4"):
        open_dataset(table_card(), download=False).decoded("small", 4)


def test_other_content_is_another_dataset(fresh: Path) -> None:
    first = open_dataset(table_card(), download=False)
    assert first.fingerprint == open_dataset(table_card(), download=False).fingerprint
    changed = credit_csv().splitlines()
    changed[5] = changed[6]
    second = open_dataset(table_card(b"\n".join(changed)), download=False)
    assert first.fingerprint != second.fingerprint


def test_equal_sequences_are_one_group_in_all_domains(fresh: Path) -> None:
    dataset = open_dataset(sequence_card(), download=False)
    microbes, tumours = dataset.domains.values()
    shared = set(microbes.names) & set(tumours.names)
    assert len(shared) >= 1
    for name in shared:
        places = [domain.names.index(name) for domain in (microbes, tumours)]
        groups = [int(domain.groups[at]) for domain, at in zip((microbes, tumours), places, strict=True)]
        assert groups[0] == groups[1]
        found = {int(splits(dataset, d)[at]) for d, at in zip((microbes, tumours), places, strict=True)}
        assert len(found) == 1
    assert len(set(microbes.names)) == len(microbes.names), "a sequence of a table counts once"


def test_letters_by_hand() -> None:
    decode = DECODERS["sequence"].decode
    letters = np.frombuffer(b"ACz-\0\0", dtype=np.uint8)
    np.testing.assert_array_equal(decode(letters, 6), [1, 3, 26, 27, 0, 0])
    np.testing.assert_array_equal(decode(letters, 2), [1, 3])
    assert decode(letters, 6).dtype == np.int32
    with pytest.raises(Unreadable, match="empty"):
        decode(np.zeros(4, dtype=np.uint8), 6)
    for modality in ("table", "sequence"):
        with pytest.raises(Unreadable):
            DECODERS[modality].decode(b"\x89PNG", 6)


def test_the_doctor_knows_columns(fresh: Path) -> None:
    """Of five: what is owed shifts, 3 is constant, 4 is the label itself, 5 is missing in one domain."""
    random, lines = np.random.default_rng(1), ["number,limit,owed,same,told,gone,late"]
    for row in range(80):
        limit, late = (50, 200)[row // 40], row % 2
        gone = row if row < 40 else ""
        lines.append(f"{row},{limit},{random.normal():.3f},7,{late + 3},{gone},{late}")
    lines += ["80,50,1,7,3,1,0", "81,50,1,7,3,1,0"]
    dataset = open_dataset(table_card("\n".join(lines).encode()), download=False)
    diagnosis = examine(dataset)
    found = {finding.kind: finding for finding in diagnosis.findings}
    assert found["constant columns"].images == ("column 2",)
    assert found["columns that tell the class"].images == ("column 3",)
    assert found["columns missing in a domain"].images == ("large: column 4",)
    assert found["equal rows"].level == "note"
    assert not diagnosis.healthy
    assert diagnosis.domains[0]["columns"] == 5


def test_the_doctor_of_sound_rows_and_sequences(fresh: Path) -> None:
    assert examine(open_dataset(table_card(), download=False)).healthy
    diagnosis = examine(open_dataset(sequence_card(), download=False))
    assert [finding.kind for finding in diagnosis.findings] == ["copies in two domains"]
    assert diagnosis.domains[0]["longest"] == 11
