"""Tables of one's own sequences: what is recognised, read, refused, and said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bench as package
from bench.core.errors import UserError
from bench.data.dataset import Dataset, open_dataset
from bench.data.decoders.sequence import as_letters, decode
from bench.data.doctor.examine import examine
from bench.data.own import own_card
from bench.data.splits import splits
from tests.support.checkout import bench

pytestmark = pytest.mark.usefixtures("fresh")


@pytest.fixture(autouse=True)
def _anew() -> None:
    own_card.cache_clear()


def peptides(each: int = 30) -> list[str]:
    """Rows of two classes in two domains, of which active ones have many K."""
    random = np.random.default_rng(7)
    rows = []
    for domain in ("microbes", "tumours"):
        for row in range(2 * each):
            letters = random.choice(list("KKKKRL" if row % 2 else "GAVEDS"), int(random.integers(8, 20)))
            rows.append(f"{''.join(letters)},{('background', 'active')[row % 2]},{domain}")
    return rows


def table(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def opened(path: Path, modality: str | None = None, **columns: str) -> Dataset:
    return open_dataset(own_card(path, modality, tuple(columns.items())))


ENOUGH = [f"{'ACDEFG'[number] * 5}{label},{label},web" for number in range(6) for label in "XY"]


def test_sequences_are_recognised_and_read(fresh: Path) -> None:
    """`ac dB-e` is the letters A C D B, something else, E: 1 3 4 2 27 5."""
    lines = ["ac dB-e,X,web", *ENOUGH]
    dataset = opened(table(fresh / "p.csv", "sequence,label,domain", *lines))
    assert (dataset.card.modality, dataset.card.metric) == ("sequence", "auc")
    decoded = dataset.decoded("web", 8).tolist()
    assert [1, 3, 4, 2, 27, 5, 0, 0] in decoded
    assert len(decoded) == len(lines)
    assert as_letters(decode(b"ACDB-E", 8)) == "ACDB-E"


@pytest.mark.parametrize("header", ["seq,label,domain", "peptide,label,domain", "mine,label,domain"])
def test_a_column_has_usual_names_or_is_named(fresh: Path, header: str) -> None:
    columns = {"sequence": "mine"} if header.startswith("mine") else {}
    known = opened(table(fresh / "known.csv", "sequence,label,domain", *ENOUGH))
    other = opened(table(fresh / "other.csv", header, *ENOUGH), **columns)
    assert other.domains["web"].digests == known.domains["web"].digests


def test_a_table_of_parquet_files_may_lack_domains(fresh: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = [line.split(",")[:2] for line in ENOUGH]
    pandas.DataFrame(rows, columns=["mine", "label"]).to_parquet(fresh / "train-0.parquet")
    process = bench("data", "check", "--data", f"hf:{fresh}", "--sequence", "mine", cwd=fresh)
    assert process.returncode == 0, process.stdout + process.stderr
    assert f"{len(ENOUGH)}" in process.stdout


def test_equal_sequences_are_one_group(fresh: Path) -> None:
    """Whatever their case, in whatever domain."""
    lines = [line.replace("web", domain) for domain in ("web", "lab") for line in ENOUGH]
    lines[0] = lines[0].lower().replace(",x,", ",X,")
    dataset = opened(table(fresh / "p.csv", "sequence,label,domain", *lines))
    web, lab = (dataset.domains[name] for name in ("web", "lab"))
    assert sorted(web.groups.tolist()) == sorted(lab.groups.tolist())
    assert len({*web.groups.tolist()}) == len(ENOUGH)
    for domain in (web, lab):
        found = splits(dataset, domain)
        assert [found[row] for row in np.argsort(domain.groups)] == [
            splits(dataset, web)[row] for row in np.argsort(web.groups)
        ]


def test_groups_and_published_splits_hold(fresh: Path) -> None:
    lines = [
        f"{'A' * (n + 1)},{'XY'[n % 2]},web,family {n // 4},{'test' if n < 4 else ''}" for n in range(24)
    ]
    dataset = opened(table(fresh / "p.csv", "sequence,label,domain,group,split", *lines))
    domain = dataset.domains["web"]
    found = splits(dataset, domain)
    for group in np.unique(domain.groups):
        assert len({*found[domain.groups == group].tolist()}) == 1
    assert {found[row] for row, split in enumerate(domain.published) if split == "test"} == {2}


@pytest.mark.parametrize(
    ("header", "lines", "options", "reason"),
    [
        ("sequence,label", ENOUGH, (), "no column 'domain' (nor domain_name, site, style), but 'sequence'"),
        ("sequence,domain", ENOUGH, (), "no column 'label'"),
        ("seq,sequence,label,domain", ENOUGH, (), "2 columns for 'sequence' (seq, sequence)"),
        ("sequence,label,domain", [], (), "lists no sequence"),
        ("sequence,label,domain", [*ENOUGH, "ACD,,web"], (), "line 14: 'label' is empty"),
        ("sequence,label,domain", ["ACD,X,web", "ACE,Y,web"], (), "X (1 sequence in web), Y (1 sequence"),
        ("sequence,label,domain,split", [f"{x},dev" for x in ENOUGH], (), "split 'dev': train, validation"),
        (
            "sequence,label,domain",
            [f"{n},X,web" for n in range(9)],
            (),
            "no letter from A to Z: name another",
        ),
        ("sequence,label,domain", ENOUGH, ("--sequence", "seqence"), "did you mean 'sequence'?"),
        ("sequence,label,domain", ENOUGH, ("--sequence", "sequence", "--text", "label"), "give one of them"),
        ("sequence,label,domain", ENOUGH, ("--modality", "sequences"), "did you mean 'sequence'?"),
        ("words,label,domain", ENOUGH, (), "nor 'sequence' (nor seq, peptide, "),
        ("words,label,domain", ENOUGH, ("--modality", "sequence"), "name it with --sequence"),
        ("sequence,label,domain", [*ENOUGH, "A,C,X,web"], (), "line 14: 4 cells"),
    ],
)
def test_bad_tables_are_one_line(
    fresh: Path, header: str, lines: list[str], options: tuple[str, ...], reason: str
) -> None:
    table(fresh / "p.csv", header, *lines)
    process = bench("data", "check", "--data", "p.csv", *options, cwd=fresh)
    assert process.returncode == 2, process.stdout + process.stderr
    (line,) = process.stderr.splitlines()
    assert reason in line


def test_a_folder_of_sequences_is_refused(fresh: Path) -> None:
    (fresh / "folder").mkdir()
    with pytest.raises(UserError, match="is a folder, and sequences are read from tables"):
        own_card(fresh / "folder", "sequence")


def test_the_doctor_of_sequences(fresh: Path) -> None:
    lines = [*ENOUGH, *(line.replace("web", "lab") for line in ENOUGH[2:]), "aaaaax,Y,web", ",X,web"]
    lines += [f"{'A' * 4096},X,web", f"{'C' * 4097},X,web", "AC*D,Y,lab"]
    dataset = opened(table(fresh / "p.csv", "sequence,label,domain", *lines))
    diagnosis = examine(dataset)
    found = {finding.kind: finding for finding in diagnosis.findings}
    counts = {kind: (finding.level, len(finding.images)) for kind, finding in found.items()}
    assert counts["empty sequence"] == ("fault", 1)
    assert counts["one sequence, two classes"] == ("fault", 1), "AAAAAX is of X, and in small letters of Y"
    assert counts["copies in two domains"] == ("fault", len(ENOUGH) - 2)
    assert counts["long sequences"] == ("note", 1)
    assert counts["no letters"] == ("note", 1)
    lab, web = diagnosis.domains
    assert (lab["letters"], lab["longest"]) == (5.8, 6), "ten of six letters and one of four"
    assert web["longest"] == 4097


def test_copies_in_two_published_splits_are_found(fresh: Path) -> None:
    lines = [f"{line},train" for line in ENOUGH] + [f"{ENOUGH[0]},test"]
    dataset = opened(table(fresh / "p.csv", "sequence,label,domain,split", *lines))
    assert "copies in two splits" in {finding.kind for finding in examine(dataset).findings}


def test_empty_sequences_stop_a_run_or_are_left_out(fresh: Path) -> None:
    table(fresh / "p.csv", "sequence,label,domain", *peptides(), ",active,tumours")
    options = ("--data", "p.csv", "--methods", "linear-probe", "--shots", "0", "--steps", "8")
    stopped = bench("run", *options, cwd=fresh)
    assert stopped.returncode == 2, stopped.stderr
    assert "cannot read sequence" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert bench("run", *options, "--skip-bad", cwd=fresh).returncode == 0


def test_a_run_says_what_was_read_and_shows_it(fresh: Path) -> None:
    table(fresh / "peptides.csv", "sequence,label,domain", *peptides())
    methods = ("--methods", "linear-probe,masked-pretraining", "--steps", "8")
    process = bench("run", "--data", "peptides.csv", *methods, "--results", "out", cwd=fresh)
    assert process.returncode == 0, process.stderr
    assert "peptides.csv: read as sequences (--modality NAME reads it otherwise)" in process.stderr
    frame = package.load_results(fresh / "out")
    # Both methods on two pairs without labels and with five, and on two targets alone with five.
    assert frame["status"].tolist() == ["done"] * 12
    assert {*frame["modality"]} == {"sequence"}
    assert {*frame["kind"]} == {"cross-domain", "pretrained"}
    page = (fresh / "out" / "report.html").read_text()
    sequences = {line.split(",")[0] for line in peptides()}
    assert sum(sequence in page for sequence in sequences) >= 4, "one of each class in each domain"


def test_frames_and_suites(fresh: Path) -> None:
    """`bench.run` takes a frame of sequences, and `bench init` writes a suite for a table of them."""
    table(fresh / "mine.csv", "letters,label,domain", *peptides())
    options = ("--data", "mine.csv", "--sequence", "letters")
    ready = bench("init", "mine.csv", "--sequence", "letters", cwd=fresh)
    assert ready.returncode == 0, ready.stderr
    assert "bench run --suite mine.toml --data mine.csv --sequence letters" in ready.stdout
    assert "# A suite for your sequences: mine." in (fresh / "mine.toml").read_text()
    planned = bench("run", "--suite", "mine.toml", *options, "--plan", cwd=fresh)
    # Four methods on two pairs without labels and with five, and on two targets alone.
    assert "24 cells" in planned.stdout, planned.stderr
    pandas = pytest.importorskip("pandas")
    asked = {"methods": "linear-probe", "shots": 0, "steps": 8, "source": "microbes"}
    frame = pandas.read_csv(fresh / "mine.csv")
    results = package.run(data=frame, sequence="letters", results=fresh / "out", **asked)
    assert results.frame()[["modality", "status"]].values.tolist() == [["sequence", "done"]]
