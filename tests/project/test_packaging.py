"""A wheel is whole: built, unpacked alone, and asked something."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source") / "checkout", tmp_path_factory.mktemp("wheel")
    # What an image is built from, so that nothing is missing there either.
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    source.mkdir()
    for name in (line.removeprefix("!") for line in lines if line.startswith("!")):
        if (ROOT / name).is_dir():
            never = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=never)
        else:
            shutil.copy(ROOT / name, source / name)
    # As a release is made: the wheel is built out of the source distribution.
    hatch = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(out)]
    subprocess.run(hatch, check=True, capture_output=True, cwd=source)
    (archive,) = out.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(out), str(archive)], check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for folder in ("bench", "methods", "report", "datasets"):
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and "__pycache__" not in path.parts:
                assert (name if folder == "bench" else f"bench/{name}") in names
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"bench"}, "other distributions have folders `methods`, `report`, `datasets` and `tests`"
    assert not [name for name in names if "__pycache__" in name]
    assert {"bench/py.typed", "bench/report/templates/page.html", "bench/datasets/emoji-home.tsv"} <= {*names}


def test_the_page_of_an_index(wheel: Path) -> None:
    """The README, without what leads to files that an index does not have."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = metadata.get_payload(decode=True)
    assert isinstance(page, bytes)
    text = page.decode("utf-8")
    assert text.startswith("# transfer-bench")
    assert "from a fresh clone to an answer" in text
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", text), "relative links and pictures"
    assert {"3.11", "3.12", "3.13"} <= {c.split(" :: ")[-1] for c in metadata.get_all("Classifier")}


def test_commands(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
    text = archive.read(name).decode("utf-8")
    assert re.findall(r"^([\w-]+) = bench.__main__:main$", text, re.MULTILINE) == ["bench", "transfer-bench"]


def test_works_alone(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "elsewhere").mkdir()
    alone = {"cwd": tmp_path / "elsewhere", "PYTHONPATH": str(tmp_path / "site")}
    where = python("-c", "import bench; print(bench.__file__)", **alone)  # type: ignore[arg-type]
    assert where.stdout.startswith(str(tmp_path / "site"))
    for what, expected in (("suites", "smoke"), ("methods", "linear-probe"), ("datasets", "emoji-home")):
        process = python("-m", "bench", "list", what, **alone)  # type: ignore[arg-type]
        assert process.returncode == 0, process.stderr
        assert expected in process.stdout
    run = (
        "run",
        "--suite",
        "smoke",
        "--methods",
        "linear-probe",
        "--backbone",
        "test_efficientnet.untrained",
    )
    process = python("-m", "bench", *run, **alone)  # type: ignore[arg-type]
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "elsewhere" / "results" / "smoke" / "report.html").is_file()
