"""Tables of one's own rows: what is recognised, read, refused, and said of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.core.errors import UserError
from bench.data.card import Card
from bench.data.dataset import open_dataset
from bench.data.doctor.examine import examine
from bench.data.own import own_card
from bench.data.sources.tabular import columns as tabular_columns
from bench.data.splits import SPLITS, splits

pytestmark = pytest.mark.usefixtures("fresh")

NAMED = (("label", "default"), ("domain", "country"))
PEOPLE = 40


def people(**columns: object) -> pd.DataFrame:
    """Rows of two countries, of which some ages are missing."""
    random = np.random.default_rng(3)
    rows = 2 * PEOPLE
    frame = {
        "owed": random.normal(size=rows).round(3),
        "age": [None if row % 8 == 0 else 20 + row for row in range(rows)],
        "town": [("north", "south", "west")[row % 3] for row in range(rows)],
        "country": ["NA" if row < PEOPLE else "DE" for row in range(rows)],
        "default": [int(row % 4 == 1) for row in range(rows)],
    }
    return pd.DataFrame({**frame, **columns})


def written(folder: Path, frame: pd.DataFrame, name: str = "people.csv", **options: object) -> Path:
    if name.endswith(".parquet"):
        frame.to_parquet(folder / name)
    else:
        frame.to_csv(folder / name, index=False, **options)
    return folder / name


def card_of(file: Path, **named: str) -> Card:
    own_card.cache_clear()
    return own_card(file, None, tuple(named.items()) or NAMED)


def test_rows_are_recognised_and_read(fresh: Path) -> None:
    frame = people()
    card = card_of(written(fresh, frame))
    assert (card.modality, card.metric) == ("table", "auc")
    assert card.domains == ["DE", "NA"], "a domain may be called NA"
    assert card.classes == ["0", "1"]
    assert card.columns == ["owed", "age", "age is missing", "town = north", "town = south", "town = west"]
    dataset = open_dataset(card)
    namibia = frame[:PEOPLE]
    rows = dataset.decoded("NA", 6)
    assert dataset.domains["NA"].labels.tolist() == namibia["default"].tolist()
    np.testing.assert_allclose(rows[:, 0], namibia["owed"], rtol=1e-6)
    np.testing.assert_array_equal(rows[:, 1], namibia["age"].astype(np.float32))
    np.testing.assert_array_equal(rows[:, 2], namibia["age"].isna())
    np.testing.assert_array_equal(rows[:, 4], namibia["town"] == "south")


@pytest.mark.parametrize("form", ["semicolons", "decimal commas", "tabs", "parquet", "categorical"])
def test_the_same_rows_are_the_same_dataset(fresh: Path, form: str) -> None:
    frame = people()
    first = open_dataset(card_of(written(fresh, frame)))
    match form:
        case "semicolons":
            other = written(fresh, frame, "other.csv", sep=";")
        case "decimal commas":
            other = written(fresh, frame, "other.csv", sep=";", decimal=",")
        case "tabs":
            other = written(fresh, frame, "other.tsv", sep="\t", encoding="utf-8-sig")
        case "parquet":
            other = written(fresh, frame, "other.parquet")
        case _:
            texts = {name: frame[name].astype("category") for name in ("town", "country")}
            other = written(fresh, frame.assign(**texts), "other.parquet")
    second = open_dataset(card_of(other))
    assert second.card.columns == first.card.columns
    assert second.fingerprint == first.fingerprint


def test_a_changed_value_is_another_dataset(fresh: Path) -> None:
    frame = people()
    first = open_dataset(card_of(written(fresh, frame))).fingerprint
    frame.loc[7, "owed"] += 1
    assert open_dataset(card_of(written(fresh, frame))).fingerprint != first


def test_rows_of_a_group_stay_together_and_others_are_alone(fresh: Path) -> None:
    file = written(fresh, people(person=[f"p{row // 8}" if row < 40 else "" for row in range(2 * PEOPLE)]))
    dataset = open_dataset(card_of(file, label="default", domain="country", group="person"))
    assert "person" not in " ".join(dataset.card.columns)
    domain = dataset.domains["NA"]
    found = splits(dataset, domain)
    for group in np.unique(domain.groups):
        assert np.bincount(domain.groups)[group] == 8
        assert len(np.unique(found[domain.groups == group])) == 1
    assert len(np.unique(dataset.domains["DE"].groups)) == PEOPLE


def test_published_splits_hold(fresh: Path) -> None:
    file = written(fresh, people(split=["test" if row % 5 == 0 else "Training" for row in range(2 * PEOPLE)]))
    dataset = open_dataset(card_of(file))
    found = splits(dataset, dataset.domains["DE"])
    assert [row for row in range(PEOPLE) if found[row] == SPLITS.index("test")] == [*range(0, PEOPLE, 5)]


def test_usual_names_need_no_options(fresh: Path) -> None:
    file = written(fresh, people().rename(columns={"country": "Site", "default": "class"}))
    own_card.cache_clear()
    assert own_card(file).domains == ["DE", "NA"]


def test_options_name_columns_of_texts_and_images_too(fresh: Path) -> None:
    lines = [f"text {row},{'xy'[row % 2]},web,1" for row in range(12)]
    (fresh / "t.csv").write_text("\n".join(["text,mood,from,stars", *lines]))
    card = own_card(fresh / "t.csv", None, (("label", "mood"), ("domain", "from")))
    assert (card.modality, card.domains, card.classes) == ("text", ["web"], ["x", "y"])
    assert len(open_dataset(card).decoded("web", 8)) == 12
    lines = [f"{row}.png,{'xy'[row % 2]},web" for row in range(12)]
    (fresh / "i.csv").write_text("\n".join(["path,mood,from", *lines]))
    card = own_card(fresh / "i.csv", None, (("label", "mood"), ("domain", "from")))
    assert (card.modality, card.domains, card.classes) == ("image", ["web"], ["x", "y"])


def test_the_modality_can_be_chosen(fresh: Path) -> None:
    file = written(fresh, people().rename(columns={"town": "text"}))
    assert card_of(file).modality == "text"
    own_card.cache_clear()
    assert own_card(file, "table", NAMED).columns[-1] == "text = west"


def test_a_table_without_numbers_has_to_be_asked_for(fresh: Path) -> None:
    file = written(fresh, people()[["town", "country", "default"]])
    with pytest.raises(UserError, match=r"no column 'path' .*, and none of numbers: .* say --modality table"):
        card_of(file)
    assert own_card(file, "table", NAMED).columns == ["town = north", "town = south", "town = west"]


@pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
def test_columns_that_cannot_be_used_are_left_out_and_said(fresh: Path, name: str) -> None:
    frame = people(void=[None] * 2 * PEOPLE, code=[f"c{row}" for row in range(2 * PEOPLE)])
    card = card_of(written(fresh, frame, name))
    assert card.notes == [
        "left out: column 'void' (no value in any row)",
        "many values: column 'code' holds 80 different texts, of which the 32 most frequent are told apart",
    ]
    assert not any("void" in column for column in card.columns)
    assert sum(column.startswith("code = ") for column in card.columns) == 32


def test_an_index_of_pandas_is_no_feature(fresh: Path) -> None:
    people().to_csv(fresh / "t.csv")
    card = card_of(fresh / "t.csv")
    assert card.notes == ["left out: column 1 (it has no name)"]
    assert card.columns[0] == "owed"


def test_lists_are_no_features(fresh: Path) -> None:
    card = card_of(written(fresh, people(tags=[["a"]] * 2 * PEOPLE), "t.parquet"))
    (note,) = card.notes
    assert note.startswith("left out: column 'tags' (it holds list<")


def test_moments_and_decimals_are_numbers(fresh: Path) -> None:
    columns = {name: people()[name].tolist() for name in ("country", "default")}
    moment = datetime(1970, 1, 2, 12, 0, 0, 500_000, tzinfo=UTC)
    table = pa.table(
        {
            "when": pa.array([moment] * 80, pa.timestamp("ms", tz="UTC")),
            "price": pa.array(["1.25"] * 80).cast(pa.decimal128(9, 2)),
            **columns,
        }
    )
    pq.write_table(table, fresh / "t.parquet")
    rows = open_dataset(card_of(fresh / "t.parquet")).decoded("DE", 2)
    np.testing.assert_allclose(rows[0], [1.5, 1.25])


def test_a_label_that_occurs_once_is_left_out_and_said(fresh: Path) -> None:
    frame = people()
    frame.loc[5, "default"] = 7
    card = card_of(written(fresh, frame))
    assert card.classes == ["0", "1"]
    assert card.notes == ["left out: 7 (only in NA)"]
    assert len(open_dataset(card).domains["NA"].names) == PEOPLE - 1


def test_classes_too_few_are_one_line(fresh: Path) -> None:
    with pytest.raises(UserError, match=r"1 with 3 rows or more in every domain: 2 are needed"):
        card_of(written(fresh, people(default=["yes"] * 79 + ["no"])))


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"label": "defualt"}, r"no column 'defualt', as --label says: did you mean 'default'\?"),
        ({"domain": "land"}, r"no column 'land', as --domain says: choose from: age, .*town"),
        ({"group": "Country"}, r"column 'country' is named for 'domain' and 'group'"),
        ({"label": "owed"}, r"has \d+ classes in 2 domains .* 2 are needed"),
    ],
)
def test_wrong_names_are_one_line(fresh: Path, named: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as raised:
        card_of(written(fresh, people()), **{**dict(NAMED), **named})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n", r"no column 'domain' \(nor domain_name, .*\), but 'a', 'b': name it with --domain"),
        ("a,domain,label\n", "t.csv lists no row"),
        ("a,domain,label\n1,x,\n", "row 1: 'label' is empty$"),
        ("a,domain,label\n1,x,y\n1,x,y,z\n", "cannot read the table .*Row #3: Expected 3 columns, got 4"),
        (
            "a,domain,label,class\n1,x,y,z\n",
            r"2 columns for 'label' \(.*\): remove .*, or say which with --label",
        ),
        ("domain,label\nx,y\n", "no column beside those of labels, domains"),
        ('a,domain,label\n1,"x,y\n2,x,y\n', "line 2: .* begin with a quote that it does not end with"),
        ("a,a,domain,label\n1,1,x,y\n", "2 columns are called 'a': rename all but one"),
        ("a,domain,label,split\n1,x,y,dev\n", "row 1: split 'dev': train, validation, test or empty"),
        (f"a,domain,label\n1,{'x' * 300},y\n", "has 300 characters: the longest domain has 200"),
        (
            "a,domain,label\n" + "".join(f"1,x,{n}\n" for n in range(1001)),
            "'label' has 1,001 different values",
        ),
        ("a,domain,label\n,x,y\n", r"no column of features: left out are column 'a' \(no value in any row\)"),
    ],
)
def test_bad_tables_are_one_line(fresh: Path, text: str, reason: str) -> None:
    (fresh / "t.csv").write_text(text)
    own_card.cache_clear()
    with pytest.raises(UserError, match=reason) as raised:
        own_card(fresh / "t.csv", "table")
    assert "\n" not in str(raised.value)


def test_stray_quotes_swallow_no_rows(fresh: Path) -> None:
    """Two of them are even in number, and would take the rows between for one cell."""
    frame = people().astype({"town": object})
    frame.loc[[4, 9], "town"] = ['"inner', '"outer']
    lines = [",".join(map(str, row)) for row in frame.astype(object).fillna("").itertuples(index=False)]
    (fresh / "t.csv").write_text("\n".join([",".join(frame.columns), *lines]))
    with pytest.raises(UserError, match=r"t.csv: line 6: .* begin with a quote that it does not end with"):
        card_of(fresh / "t.csv")
    (fresh / "t.csv").write_text("\n".join([",".join(frame.columns), *lines]).replace('"', '5" '))
    dataset = open_dataset(card_of(fresh / "t.csv"))
    assert [len(domain.names) for domain in dataset.domains.values()] == [PEOPLE, PEOPLE]
    assert 'town = 5" inner' in dataset.card.columns, "a quote within a cell is a mark of inches"


@pytest.mark.parametrize("kind", ["dictionary", "fixed", "view"])
def test_bytes_of_any_type_are_texts(fresh: Path, kind: str) -> None:
    names = {"dictionary": pa.binary(), "fixed": pa.binary(2), "view": pa.binary_view()}
    frame = people()
    values = pa.array([name.encode() for name in frame["country"]], names[kind])
    table = pa.Table.from_pandas(frame.drop(columns="country"))
    table = table.append_column("country", values.dictionary_encode() if kind == "dictionary" else values)
    pq.write_table(table, fresh / "t.parquet")
    assert card_of(fresh / "t.parquet").domains == ["DE", "NA"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_ten_thousand_columns_are_refused(fresh: Path, name: str) -> None:
    wide = pd.DataFrame(np.zeros((2, 10_000), dtype=np.int8), columns=[f"column_{n}" for n in range(10_000)])
    wide = wide.assign(country=["a", "b"], default=[0, 1])
    with pytest.raises(UserError, match="has 10,000 columns of features: 1 to 4,096, so leave out some"):
        card_of(written(fresh, wide, name))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_said(fresh: Path, encoding: str) -> None:
    frame = people(town=["größer"] * 2 * PEOPLE)
    with pytest.raises(UserError, match="it is not UTF-8; save it as CSV UTF-8"):
        card_of(written(fresh, frame, encoding=encoding))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_more_values_than_fit_into_memory_are_refused(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(tabular_columns, "MOST_CELLS", 100)
    with pytest.raises(UserError, match=r"refused: .* rows of \d columns, more than .* million values"):
        card_of(written(fresh, people(), name))


def test_one_long_text_in_every_row_is_held_once(fresh: Path) -> None:
    """Two hundred thousand rows of a text of a megabyte would take two hundred gigabytes."""
    rows = 200_000
    long = pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), ["x" * 2**20])
    which = np.arange(rows)
    table = pa.table({"note": long, "a": which, "domain": ["d"] * rows, "label": which % 2})
    pq.write_table(table, fresh / "t.parquet")
    own_card.cache_clear()
    card = own_card(fresh / "t.parquet")
    assert [len(name) for name in card.columns] == [len("note = ") + 80, 1]


def test_the_doctor_of_rows_names_columns(fresh: Path) -> None:
    frame = people(same=5, gone=[1.5 * row if row < PEOPLE else None for row in range(2 * PEOPLE)])
    frame["told"] = ["paid late" if late else "paid" for late in frame["default"]]
    twice = pd.concat([frame, frame[:PEOPLE]])
    diagnosis = examine(open_dataset(card_of(written(fresh, twice))))
    found = {finding.kind: finding for finding in diagnosis.findings}
    assert found["constant columns"].images == ("same",)
    assert found["columns that tell the class"].images == ("told = paid", "told = paid late")
    assert found["columns missing in a domain"].images == ("DE: gone",)
    assert found["missing values"].images[0].startswith("gone (")
    assert found["equal rows"].message.startswith("40 rows like another")
    apart = found["equal rows in two splits"]
    assert apart.level == "note"
    dataset = open_dataset(card_of(fresh / "people.csv"))
    domain = dataset.domains["NA"]
    split = splits(dataset, domain)
    differ = [row for row in range(PEOPLE) if split[row] != split[row + PEOPLE]]
    assert len(apart.images) == len(differ) > 0
    assert not diagnosis.healthy


def test_the_doctor_of_sound_rows(fresh: Path) -> None:
    diagnosis = examine(open_dataset(card_of(written(fresh, people()))))
    assert diagnosis.healthy
    assert diagnosis.domains[0]["columns"] == 6
