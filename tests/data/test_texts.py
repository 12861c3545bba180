"""Texts: their decoder, own tables of them, rated ones of packages, and what the doctor says."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.core.errors import UserError
from bench.core.packages import Member
from bench.data.card import Card
from bench.data.catalog import load_card
from bench.data.dataset import BadImages, open_dataset
from bench.data.decoders.base import Unreadable
from bench.data.decoders.text import CHARACTERS, as_text, decode
from bench.data.doctor.examine import examine
from bench.data.own import own_card
from bench.data.sources.texts.rated import RatedTable, RatedTexts
from bench.data.splits import splits
from bench.report.render.samples import Samples, shown
from bench.report.render.templates import environment
from tests.support.checkout import bench
from tests.support.texts import write_texts


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("text", ["plain", "größer 中文 🙂", "a\u202eb", " spaces \n"])
def test_texts_become_code_points(text: str) -> None:
    points = decode(text.encode(), 8)
    assert points.dtype == np.int32
    assert points.shape == (8 * CHARACTERS,)
    assert as_text(points) == text.strip()


def test_long_texts_are_cut_and_zeros_are_no_padding() -> None:
    assert as_text(decode(b"x" * 1000, 8)) == "x" * 8 * CHARACTERS
    assert as_text(decode(b"a\0b", 8)) == "a b"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b" \n", "empty"), (b"\xff\xfe", "not UTF-8")]
)
def test_what_is_no_text(content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        decode(content, 8)


def test_own_texts_are_recognised(tmp_path: Path) -> None:
    card = own_card(write_texts(tmp_path / "words.csv"))
    assert (card.modality, card.domains, len(card.classes)) == ("text", ["ads", "notes", "posts"], 4)
    dataset = open_dataset(card)
    decoded = dataset.decoded("ads", 16)
    assert decoded.shape == (56, 16 * CHARACTERS)
    domain = dataset.domains["ads"]
    for row in range(0, 56, 11):
        text = as_text(decoded[row])
        assert domain.digests[row] == hashlib.sha256(text.encode()).hexdigest()
    again = open_dataset(card)
    assert again.fingerprint == dataset.fingerprint


def test_a_parquet_of_the_same_texts_is_the_same_dataset(tmp_path: Path) -> None:
    table = write_texts(tmp_path / "words.csv")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    other = tmp_path / "other" / "words.parquet"
    other.parent.mkdir()
    columns = {"review": "text", "label": "label", "domain": "domain"}
    pq.write_table(pa.table({name: [row[own] for row in rows] for name, own in columns.items()}), other)
    first, second = (open_dataset(own_card(path)) for path in (table, other))
    assert first.fingerprint == second.fingerprint


def test_a_parquet_of_bytes_or_lists(tmp_path: Path) -> None:
    """Bytes are texts, and never `b'texts'`; a list of words is none."""
    table = write_texts(tmp_path / "words.csv")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [row[name] for row in rows] for name in ("text", "label", "domain")}
    other = tmp_path / "other" / "words.parquet"
    other.parent.mkdir()
    as_bytes = {name: [text.encode() for text in texts] for name, texts in columns.items()}
    pq.write_table(pa.table(as_bytes), other)
    assert open_dataset(own_card(other)).fingerprint == open_dataset(own_card(table)).fingerprint
    own_card.cache_clear()
    pq.write_table(pa.table({**columns, "text": [[text] for text in columns["text"]]}), other)
    with pytest.raises(UserError, match=r"column 'text' holds list<.*>, where a text"):
        own_card(other)
    pq.write_table(pa.table({**columns, "label": [b"\xff"] * len(rows)}), other)
    with pytest.raises(UserError, match="column 'label' holds bytes that are not UTF-8"):
        own_card(other)


def test_groups_and_published_splits_hold(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    with table.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["text", "label", "domain", "group", "split"])
        for number in range(24):
            split = "test" if number < 4 else "train"
            label = "xy"[number % 2]
            lines.writerow([f"text {number}", label, "web", f"author {number // 4}", split])
    dataset = open_dataset(own_card(table))
    domain = dataset.domains["web"]
    found = splits(dataset, domain)
    for group in np.unique(domain.groups):
        assert len(np.unique(found[domain.groups == group])) == 1
    assert [domain.published[row] for row in np.flatnonzero(found == 2)] == ["test"] * 4


def table(path: Path, header: str, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
    return path


ENOUGH = [f"text {number},{label},web" for number in range(6) for label in ("x", "y")]


@pytest.mark.parametrize(
    ("header", "lines", "reason"),
    [
        ("text,label", ENOUGH, r"has no column 'domain'"),
        ("sentence,text,label,domain", ENOUGH, r"2 columns for 'text'"),
        ("words,label,domain", ENOUGH, r"has no column 'path'.*, nor 'text'.*, and none of numbers: rename"),
        ("text,label,domain", [*ENOUGH, "alone,,web"], r"line 14: 'label' is empty"),
        ("text,label,domain", [], r"lists no text"),
        ("text,label,domain", ["one,x,web", "two,y,web"], r"x \(1 text in web\), y \(1 text in web\)"),
        ("text,label,domain,split", [f"{line},dev" for line in ENOUGH], r"split 'dev': train, validation"),
    ],
)
def test_bad_tables_are_one_line(tmp_path: Path, header: str, lines: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as raised:
        own_card(table(tmp_path / "t.csv", header, *lines))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("closed_later", [True, False], ids=["closed in another row", "never closed"])
def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path: Path, closed_later: bool) -> None:
    """Where the text comes last, the rows behind it would be a part of it, and nothing would be missing."""
    lines = [f"{label},web,text {number}" for number in range(9) for label in ("x", "y")]
    lines[2] = 'x,web,"Great" it said'
    lines[9] = 'y,web,"odd'
    if closed_later:
        lines[12] = 'x,web,she said "no" twice'
    for wrong in (2, 9):
        with pytest.raises(UserError, match=rf"line {wrong + 2}: .*begin with a quote"):
            own_card(table(tmp_path / "t.csv", "label,domain,text", *lines))
        lines[wrong] = 'x,web,"""Great"" it said"'
    card = own_card(table(tmp_path / "t.csv", "label,domain,text", *lines))
    assert len(open_dataset(card).domains["web"].names) == len(lines)


def test_a_table_that_is_changed_under_its_date_is_read_anew(tmp_path: Path) -> None:
    """Another label of the same length leaves the size, and a program may put the date back."""
    path = table(tmp_path / "t.csv", "text,label,domain", *ENOUGH)
    before, status = open_dataset(own_card(path)).domains["web"], path.stat()
    table(path, "text,label,domain", *[line.replace("text 3,x", "text 3,y") for line in ENOUGH])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    own_card.cache_clear()
    after = open_dataset(own_card(path)).domains["web"]
    assert sorted(after.labels.tolist()) != sorted(before.labels.tolist())


@pytest.mark.parametrize("harm", ["index gone", "date", "cut"])
def test_damaged_texts_in_the_cache_are_made_anew(tmp_path: Path, harm: str) -> None:
    card = own_card(table(tmp_path / "t.csv", "text,label,domain", *ENOUGH))
    before = open_dataset(card)
    (kept,) = (tmp_path / "cache" / "library").glob("*.parquet")
    whole, status = kept.read_bytes(), kept.stat()
    other = whole.replace(b"text 3", b"next 3", 1)
    assert other != whole
    kept.write_bytes(whole[: len(whole) // 2] if harm == "cut" else other)
    if harm == "index gone":
        os.utime(kept, ns=(status.st_atime_ns, status.st_mtime_ns))
        shutil.rmtree(tmp_path / "cache" / "index")
    again = open_dataset(card)
    assert again.fingerprint == before.fingerprint
    assert [as_text(points)[:4] for points in again.decoded("web", 8)] == ["text"] * len(ENOUGH)


def test_a_label_that_occurs_once_is_left_out_and_said(tmp_path: Path) -> None:
    card = own_card(table(tmp_path / "t.csv", "text,label,domain", *ENOUGH, "odd,z,web"))
    assert card.classes == ["x", "y"]
    assert card.notes == ["left out: z (1 text in web)"]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_said(tmp_path: Path, encoding: str) -> None:
    lines = [f"größer {line}" for line in ENOUGH]
    with pytest.raises(UserError, match="it is not UTF-8; save it as CSV UTF-8"):
        own_card(table(tmp_path / "t.csv", "text,label,domain", *lines, encoding=encoding))


def test_empty_texts_stop_a_run_or_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = own_card(table(tmp_path / "t.csv", "text,label,domain", *ENOUGH, ",x,web"))
    with pytest.raises(BadImages, match=r"^web: cannot read text .*\(empty\)$"):
        open_dataset(card).decoded("web", 8)
    monkeypatch.setenv("BENCH_SKIP_BAD", "1")
    dataset = open_dataset(card)
    assert len(dataset.decoded("web", 8)) == len(ENOUGH)
    assert any("1 unreadable text of t is left out" in line for line in dataset.warnings)


def test_the_modality_can_be_chosen(tmp_path: Path) -> None:
    both = table(tmp_path / "t.csv", "path,text,label,domain", *(f"a.png,{line}" for line in ENOUGH))
    assert own_card(both).modality == "image"
    assert own_card(both, "text").modality == "text"
    with pytest.raises(UserError, match=r"unknown modality 'txet': did you mean 'text'\?"):
        own_card(both, "txet")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is a folder, and texts are read from tables"):
        own_card(tmp_path / "folder", "text")


def test_the_doctor_of_texts(tmp_path: Path) -> None:
    lines = [*ENOUGH, '"Text 0.",x,web', "text 1,y,blog", "text 2,x,blog", "text 3,x,blog", "text 4,x,blog"]
    lines += [",x,web", f"{'long ' * 300},y,web", *(f"more {n},y,blog" for n in range(3))]
    dataset = open_dataset(own_card(table(tmp_path / "t.csv", "text,label,domain", *lines)))
    diagnosis = examine(dataset)
    found = {finding.kind: finding for finding in diagnosis.findings}
    assert found["empty text"].level == "fault"
    assert len(found["long texts"].images) == 1
    assert found["one text, two classes"].level == "fault", "text 0 is of x and of y"
    near = [kind for kind in found if kind.startswith("near duplicates")]
    assert len(near) == 1, "Text 0. is text 0"
    assert diagnosis.domains[0]["texts"]
    assert not diagnosis.healthy


def rated(folder: Path, lines: str) -> Card:
    """A card of rated texts whose wheel lies in the cache."""
    content = lines.encode()
    wheel = folder / "cache" / "downloads" / "toy-1" / "toy-1-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy/rated.txt", content)
    sha = hashlib.sha256(content).hexdigest()
    member = Member(distribution="toy", version="1", path="toy/rated.txt", sha256=sha)
    source = RatedTexts(
        type="rated-texts",
        tables=[RatedTable(domain="web", member=member)],
        bands={"bad": (-4, -0.5), "good": (0.5, 4)},
        megabytes=1,
    )
    return Card(
        **{"name": "toy", "title": "t", "description": "d", "licence": "l", "modality": "text"},
        domains=["web"],
        classes=["bad", "good"],
        sources=[source],
    )


def test_ratings_become_classes_and_parents_groups(tmp_path: Path) -> None:
    lines = (
        "1_1\t-2.5\tawful\r\n1_2\t0.5\tso so\r\n1_3\t0.6\tnice\r\n2_1\t3.0\tsplendid\r\n2_2\t-0.4\tmeh\r\n"
    )
    dataset = open_dataset(rated(tmp_path, lines))
    domain, decoded = dataset.domains["web"], dataset.decoded("web", 8)
    texts = {as_text(points): row for row, points in enumerate(decoded)}
    assert {text: int(domain.labels[row]) for text, row in texts.items()} == {
        "awful": 0,
        "nice": 1,
        "splendid": 1,
    }
    groups = {text: int(domain.groups[row]) for text, row in texts.items()}
    assert groups["awful"] == groups["nice"] != groups["splendid"]


def test_a_table_of_another_form_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"toy/rated.txt, line 2: no identity, rating and text"):
        open_dataset(rated(tmp_path, "1\t2\tfine\n2\tlots\tfine\n"))


def test_the_card_of_reviews_says_what_it_is() -> None:
    card = load_card("reviews")
    assert (card.modality, card.metric) == ("text", "balanced-accuracy")
    assert card.domains == ["tweets", "products", "films", "editorials"]


def test_the_command_says_what_was_recognised(tmp_path: Path) -> None:
    options = ("run", "--data", str(write_texts(tmp_path / "words.csv")), "--backbone", "resnet18")
    refused = bench(*options, cwd=tmp_path)
    assert refused.returncode == 2
    assert "words.csv: read as texts (--modality NAME reads it otherwise)" in refused.stderr
    assert "backbone 'resnet18' takes images, and these are texts" in refused.stderr
    assert "Traceback" not in refused.stderr
    unknown = bench(*options, "--modality", "vidoe", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "unknown modality 'vidoe'" in unknown.stderr


def test_a_page_shows_the_beginning_of_a_text_escaped() -> None:
    texts = [("x", "<script>alert(1)</script> \u202eevil\n" + "long " * 100)]
    (domain,) = shown(Samples({"web": texts}))
    assert domain["images"] == []
    page = environment().get_template("samples.html").render(samples=[domain])
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\u202eevil long" in page
    assert "<script>" not in page
    assert len(domain["texts"][0][1]) < 260
