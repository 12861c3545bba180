"""Hostile and odd input: refused before it fills the memory, starts a program or waits for ever."""

from __future__ import annotations

import bz2
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bench.core.errors import UserError
from bench.data.archive import unpack
from bench.data.card import Card
from bench.data.dataset import silent
from bench.data.decoders.image import decode
from bench.data.own import own_card
from bench.data.sources.base import SourceRequest
from bench.data.sources.layouts import shards
from bench.data.sources.manifest import read_manifest
from bench.spec.toml import read_toml
from tests.data.pictures import as_folders, pictures
from tests.data.test_decode import encoded
from tests.support.checkout import bench, python

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def test_more_classes_than_labels_have_numbers(tmp_path: Path) -> None:
    lines = [f"t {n},web,c{n // 3}" for n in range(3 * 2**15)]
    (tmp_path / "t.csv").write_text("\n".join(["text,domain,label", *lines]))
    with pytest.raises(UserError, match=r"refused: .* has 32,768 classes, more than 32,767"):
        own_card(tmp_path / "t.csv")


@pytest.mark.parametrize("content", [EPS, b"\x0a\x05\x01\x08" + bytes(124), b"8BPS\0\1" + bytes(20)])
def test_formats_that_are_not_read(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that would draw PostScript leaves a file if it is started."""
    ghost = tmp_path / "bin" / "gs"
    ghost.parent.mkdir()
    ghost.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    ghost.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ghost.parent}:{os.environ['PATH']}")
    (tmp_path / "a.png").write_bytes(content)
    for image in (content, tmp_path / "a.png"):
        with pytest.raises(UserError, match="no image of a format that is read"):
            decode(image, 8)
    assert not (tmp_path / "started").exists()


def test_files_that_are_no_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(UserError, match="no regular file"):
            decode(tmp_path / name, 8)
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match="million bytes, more than"):
        decode(tmp_path / "huge.png", 8)


PEAK = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from bench.data.decoders.image import decode
decode(Path(sys.argv[1]).with_name("small.png"), 8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    list(pool.map(lambda _: decode(Path(sys.argv[1]), 64), range(int(sys.argv[2]))))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def peak(path: Path, threads: int) -> int:
    """Bytes that decoding a file in so many threads at once takes at most."""
    path.with_name("small.png").write_bytes(encoded(Image.new("RGB", (8, 8))))
    process = python("-c", PEAK, str(path), str(threads), cwd=path.parent)
    assert process.returncode == 0, process.stderr
    return int(process.stdout)


def test_threads_share_the_memory_of_large_images(tmp_path: Path) -> None:
    values = Image.fromarray(np.zeros((9_999, 10_000), np.uint16))
    (tmp_path / "a.png").write_bytes(encoded(values, compress_level=1))
    # One at a time, in all threads and processes; each took 1.6 GB before.
    assert peak(tmp_path / "a.png", 5) < 9 * 99_990_000


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {"compress_level": 1}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("WEBP", "RGBA", {"lossless": True, "method": 0}),
        ("AVIF", "RGBA", {"speed": 10}),
        ("JPEG2000", "RGBA", {}),
        ("TIFF", "F", {}),
    ],
)
def test_no_format_takes_more_than_is_set_aside_for_it(
    kind: str, mode: str, options: dict[str, object], tmp_path: Path
) -> None:
    side = 2_500
    image = Image.new(mode, (side, side))
    path = tmp_path / "a.img"
    path.write_bytes(encoded(image, kind, **options))
    most = 28 if kind in ("WEBP", "AVIF", "JPEG2000", "TIFF") else 17 if kind == "JPEG" else 9
    assert peak(path, 1) < side * side * most + 48 * 2**20


def test_bands_are_as_the_whole() -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (1_500, 1_501, 4), dtype=np.uint8)
    image = Image.fromarray(noise)
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    whole = white.convert("RGB").reduce(1_500 // 512)
    square = whole.crop(
        ((whole.width - whole.height) // 2, 0, (whole.width + whole.height) // 2, whole.height)
    )
    expected = np.asarray(square.resize((64, 64), Image.Resampling.BICUBIC, reducing_gap=1.5))
    np.testing.assert_array_equal(decode(encoded(image), 64, "crop"), expected)


def bomb(path: Path, header: tarfile.TarInfo, size: int = 2**27) -> Path:
    """A tar of a few hundred bytes whose one header announces so many zeros, which follow."""
    header.size = size
    packer, zeros = bz2.BZ2Compressor(), bytes(2**20)
    parts = [packer.compress(header.tobuf(tarfile.USTAR_FORMAT))]
    parts += [packer.compress(zeros) for _ in range(size // 2**20)]
    path.write_bytes(b"".join([*parts, packer.flush()]))
    return path


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_tar_bombs(kind: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("a.jpg")
    header.type = kind
    archive = bomb(tmp_path / "a.tar.bz2", header)
    assert archive.stat().st_size < 1_000
    with pytest.raises(UserError, match="refused"):
        unpack(archive, tmp_path / "in" / "out", silent)
    assert not list((tmp_path / "in").rglob("*"))


def test_zip_bombs(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", bytes(2**27))
    with pytest.raises(UserError, match=r"refused: .* unpacks to more than 64 MiB, at 'a.jpg'"):
        unpack(tmp_path / "a.zip", tmp_path / "out", silent)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_compressed_tars_are_unpacked(mode: str, tmp_path: Path) -> None:
    folder = as_folders(tmp_path / "d", pictures(["a"], ["x", "y"], 2))
    with tarfile.open(tmp_path / "a.tar", mode) as file:  # type: ignore[call-overload]
        file.add(folder, "d")
    unpack(tmp_path / "a.tar", tmp_path / "out", silent)
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 4


REQUEST = SourceRequest("d", ("x",), ("a", "b"), Path())


def test_a_shard_of_too_many_rows(tmp_path: Path) -> None:
    rows = 3_000_000
    image = pa.array([{"bytes": b"", "path": ""}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    one = {"image": image, "label": pa.array(["a"])}
    table = pa.table({name: pa.repeat(value[0], rows) for name, value in one.items() if name != "image"})
    table = table.append_column("image", image.take(pa.array(np.zeros(rows, np.int64))))
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(UserError, match=r"refused: .*a\.parquet has more than 2 million rows"):
        shards([tmp_path / "a.parquet"], REQUEST, {"domain": "", "label": "label"})
    names = {name: pa.repeat(pa.scalar("a"), rows) for name in ("path", "domain", "label")}
    pq.write_table(pa.table(names), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"refused: .*t\.parquet has more than 2 million rows"):
        read_manifest(tmp_path / "t.parquet")


def test_a_shard_that_unpacks_to_far_more(tmp_path: Path) -> None:
    rows = [{"bytes": bytes(2**20), "path": ""}] * 100
    image = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = pa.table({"image": image, "label": ["a"] * 100})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(UserError, match=r"unpacks to 100 MiB, more than 100 times its size"):
        shards([tmp_path / "a.parquet"], REQUEST, {"domain": "", "label": "label"})


ROWS = "".join(f"{i}.jpg{{0}}{domain}{{0}}{label}\n" for domain in "xy" for label in "ab" for i in range(3))


@pytest.mark.parametrize(
    ("header", "mark"),
    [
        ("path,domain,label", ","),
        ("path;domain;label", ";"),
        ("filename\tdomain\tclass", "\t"),
        ("File_Name; Site; Category", ";"),
        ("\ufeffimage,domain,class_name", ","),
    ],
)
def test_tables_of_other_columns_and_delimiters(header: str, mark: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n{ROWS.format(mark)}", encoding="utf-8")
    card = own_card(tmp_path / "t.csv")
    assert (card.domains, card.classes) == (["x", "y"], ["a", "b"])
    assert read_manifest(tmp_path / "t.csv")[0] == {
        **{"path": "0.jpg", "domain": "x", "label": "a"},
        **{"group": "", "split": ""},
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"path,domain,label\n" + b"x" * 200_000 + b",x,y\n", "more than 65,536 characters"),
        (b"path,domain,label\n" + b"," * 2**20, "more than 65,536 characters"),
        (b"path,domain,label\n\xe9,x,y\n", "it is not UTF-8"),
        (b"a;b;c\n", r"has no column 'domain' \(nor domain_name, .*\), but 'a', 'b', 'c'"),
        (b"\n", "its first line names no column"),
        (b"path,domain,label\n\0\n", "line 2|NUL"),
    ],
)
def test_tables_that_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        own_card(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 100_000, "nested more than 32 levels"),
        ("a = " + "[" * 50 + "]" * 50, "nested more than 32 levels"),
        ("a" + ".a" * 300_000 + " = 1", "nested more than 32 levels"),
        ("[" + "a." * 40 + "a]", "nested more than 32 levels"),
        ("a = '" + "x" * 2**20 + "'", "more than 1 MiB"),
        ("a = " + "9" * 5_000, "cannot read"),
        ("a = 2020-13-41", "cannot read"),
        ("title = 'half", "cannot read"),
        ("\0", "cannot read"),
    ],
)
def test_toml_that_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_toml(tmp_path / "card.toml", Card)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_names_that_are_looked_for_are_said(fresh: Path) -> None:
    as_folders(fresh / "d" / "Homes", pictures(["Art"], ["Bed"], 1))
    environment = {"BENCH_CACHE": str(fresh / "cache"), "BENCH_DATA": str(fresh / "d"), "HF_HUB_OFFLINE": "1"}
    process = bench("data", "check", "office-home", cwd=fresh, **environment, HF_HOME=str(fresh / "hub"))
    assert process.returncode == 2
    for name in ("'office-home'", "'OfficeHomeDataset_10072016'", "'OfficeHomeDataset'", "'Real World'"):
        assert name in process.stderr
    as_folders(fresh / "d" / "OfficeHomeDataset", pictures(["Art"], ["Bed", "TV"], 3))
    listed = bench("data", "list", cwd=fresh, **environment, HF_HOME=str(fresh / "hub"), COLUMNS="200")
    assert "folder OfficeHomeDataset" in listed.stdout


def test_a_domain_of_a_card_with_a_reserved_name() -> None:
    fields = {"name": "d", "title": "", "description": "", "licence": "", "classes": ["a", "b"]}
    with pytest.raises(ValueError, match="domain 'pretrained' is what tables call"):
        Card(domains=["pretrained", "b"], sources=[{"type": "folder"}], **fields)  # type: ignore[arg-type]
