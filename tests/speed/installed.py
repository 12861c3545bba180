"""Sizes of what pip installed, and what of it serves CUDA alone: `python -m tests.speed.installed`.

Counts the packages that `pyproject.toml` asks for and all that they ask for, or those of a requirements file
(`python -m tests.speed.installed requirements-report.txt`), as they lie in this environment, by the blocks
that their files take. Nothing is installed: what an installation without CUDA takes is computed as the rest.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.checkout import ROOT

CUDA_PACKAGES = ("nvidia-", "cuda-", "triton")
CUDA_FILES = ("cuda", "nvrtc", "nvshmem")
"""Parts of the names of torch's libraries that its CPU build does not have."""
BLOCK = 512
"""Bytes that `st_blocks` counts in."""
SHOWN = 20


def closure(requirements: list[str]) -> dict[str, Distribution]:
    """Distributions that requirements lead to in this environment, by canonical name."""
    found: dict[str, Distribution] = {}
    ahead = [Requirement(text) for text in requirements]
    while ahead:
        requirement = ahead.pop()
        name = canonicalize_name(requirement.name)
        if name not in found:
            found[name] = distribution(name)
            ahead += _needs(found[name], requirement.extras)
    return found


def _needs(package: Distribution, extras: set[str]) -> list[Requirement]:
    """Requirements of a distribution, with those of its extras, that hold on this machine."""
    asked = [Requirement(text) for text in package.requires or ()]
    environments = [{"extra": extra} for extra in extras or {""}]
    return [one for one in asked if not one.marker or any(map(one.marker.evaluate, environments))]


def size(package: Distribution, cuda_alone: bool = False) -> float:
    """MiB on the disk of a distribution's files, or of those of them that serve CUDA alone."""
    total = 0
    for file in package.files or ():
        if cuda_alone and not (file.suffix == ".so" and any(part in file.name for part in CUDA_FILES)):
            continue
        path = Path(str(package.locate_file(file)))
        total += path.lstat().st_blocks * BLOCK if path.exists() else 0
    return total / 2**20


def main(arguments: list[str]) -> None:
    """Print the table."""
    if arguments:
        lines = Path(arguments[0]).read_text(encoding="utf-8").splitlines()
        requirements = [line for line in lines if line and not line.startswith("#")]
    else:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        requirements = project["dependencies"]
    packages = closure(requirements)
    sizes = {name: size(package) for name, package in packages.items()}
    cuda = {name: taken for name, taken in sizes.items() if name.startswith(CUDA_PACKAGES)}
    largest = sorted(sizes.items(), key=lambda pair: -pair[1])
    for name, taken in largest[:SHOWN]:
        print(f"{taken:8.0f} MiB  {name} {packages[name].version}{'  (CUDA)' if name in cuda else ''}")
    print(f"{sum(sizes.values()):8.0f} MiB  all {len(sizes)} packages")
    if "torch" in packages:
        libraries = size(packages["torch"], cuda_alone=True)
        print(f"{sum(cuda.values()):8.0f} MiB  of these {len(cuda)} packages for CUDA")
        print(f"{libraries:8.0f} MiB  torch's own libraries for CUDA")
        rest = sum(sizes.values()) - sum(cuda.values()) - libraries
        print(f"{rest:8.0f} MiB  the rest (computed, not installed)")


if __name__ == "__main__":
    main(sys.argv[1:])
