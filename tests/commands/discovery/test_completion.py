"""Completion in a shell: of commands, options and values."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.method.registry import method_modules
from tests.support.checkout import ROOT, bench, python

AS_INSTALLED = "import sys; sys.argv[0] = 'bench'; from bench.cli import main; main()"


def completed(words: str, last: str = "") -> list[str]:
    """What a shell is offered for the word after some others."""
    asked = {"COMP_WORDS": f"bench {words} {last}".rstrip(), "COMP_CWORD": str(len(words.split()) + 1)}
    process = python("-c", AS_INSTALLED, cwd=ROOT, _BENCH_COMPLETE="bash_complete", **asked)
    return [line.partition(",")[2] for line in process.stdout.splitlines() if line.startswith("plain,")]


@pytest.mark.parametrize(
    ("words", "last", "expected"),
    [
        ("", "sh", ["show"]),
        ("run", "--sui", ["--suite"]),
        ("run --suite", "emoji-home", ["emoji-home", "emoji-home@2"]),
        ("run --methods", "dann,dee", ["dann,deep-coral", "dann,deep-jdot"]),
        ("run --methods", "family:meta", ["family:metalearning"]),
        ("run --suite quick --source", "google,tw", ["google,twitter"]),
        ("run --device", "c", ["cpu", "cuda"]),
        ("list", "m", ["methods"]),
        ("show", "emoji-hom", ["emoji-home", "emoji-home@2"]),
        ("data fetch", "pac", ["pacs"]),
        ("reproduce", "dann-mnist-m", ["dann-mnist-m", "dann-mnist-m-batch-norm"]),
        ("compare", "emoji-ta", ["emoji-tasks"]),
    ],
)
def test_values(words: str, last: str, expected: list[str]) -> None:
    assert completed(words, last=last) == expected


def test_all_methods() -> None:
    assert {*method_modules()} <= {*completed("show")}


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_takes_the_script(tmp_path: Path) -> None:
    script = bench("completion", "bash", cwd=tmp_path)
    assert script.returncode == 0
    lines = ("import sys", f"sys.path.insert(0, {str(ROOT)!r})", "from bench.cli import main", "main()")
    (tmp_path / "bench").write_text("\n".join([f"#!{sys.executable}", *lines, ""]))
    (tmp_path / "bench").chmod(0o755)
    words = "COMP_WORDS=(bench run --suite digit); COMP_CWORD=3"
    code = f'{script.stdout}\n{words}; _bench_completion ./bench; echo "${{COMPREPLY[@]}}"'
    process = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.stdout.split() == ["digits"], process.stderr


def test_a_shell_of_another_kind(tmp_path: Path) -> None:
    process = bench("completion", "tcsh", cwd=tmp_path)
    assert process.returncode == 2
    assert "tcsh" in process.stderr
