"""What the C library keeps, in processes of their own: that is set once and for all."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")

STEPS = """
import resource, sys
import psutil, torch
from bench.processes.malloc import trim, retain

if "hold" in sys.argv:
    retain()

def step():
    for size in (4, 40, 400):
        torch.ones(size * 2**18)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    step()
before = faults()
for _ in range(3):
    step()
print(faults() - before)
resident = psutil.Process().memory_info().rss
trim()
print((resident - psutil.Process().memory_info().rss) // 2**20)
"""


def stepped(*how: str) -> tuple[int, int]:
    """Pages that three more steps of 400 MiB got anew, and MiB that were given back thereafter."""
    command = [sys.executable, "-c", STEPS, *how]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pages, given_back = map(int, output.split())
    return pages, given_back


@glibc
def test_what_is_freed_is_kept_for_the_next_step() -> None:
    pages, _ = stepped()
    kept, given_back = stepped("hold")
    assert kept < pages / 10
    assert given_back > 300
