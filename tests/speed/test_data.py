"""How fast images come out of the cache and go into it, beside torchvision's ImageFolder and DataLoader.

By default a twentieth of Office-Home; `BENCH_SPEED_IMAGES=15588` makes it whole; `BENCH_SPEED_FOLDER=DIR`
keeps the images for the next time. Asserts nothing about time: ratios are printed and in `extra_info`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.data.own import own_card
from tests.support.checkout import python

IMAGES = int(os.environ.get("BENCH_SPEED_IMAGES", "780"))
KEPT = os.environ.get("BENCH_SPEED_FOLDER")
SIZE, BATCH, CLASSES = 224, 32, 65

LOADER = "ImageFolder and DataLoader, 2 workers"
DECODE = "first decode into the cache"
BATCHES = "batches out of the cache"

WARM = """
import json, os, sys, time
from pathlib import Path
import numpy as np, psutil, torch
from bench.engine.training.inputs import image
from bench.data.dataset import open_dataset
from bench.data.own import own_card
private = lambda: (lambda m: m.rss - m.shared)(psutil.Process().memory_info())
before, since = private(), time.perf_counter()
dataset = open_dataset(own_card(Path(sys.argv[1])))
pixels = dataset.decoded("photo", 224)
inputs = image.ImageInputs(pixels, (0.5,) * 3, (0.5,) * 3, torch.device("cpu"), True)
x = inputs.take(np.random.default_rng(0).permutation(len(pixels))[:32])
seconds, megabytes = time.perf_counter() - since, (private() - before) / 1e6
print(json.dumps({"images": len(pixels), "seconds": seconds, "megabytes": megabytes}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs at sizes like Office-Home's: 120 to 3,000 pixels a side, median about 600."""
    root = Path(KEPT).resolve() / f"images-{IMAGES}" if KEPT else tmp_path_factory.mktemp("speed")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda number: picture(root, number), range(IMAGES)))
    return root


def picture(root: Path, number: int) -> None:
    """Make one, where it is not kept from another run."""
    path = root / "photo" / f"class{number % CLASSES:02d}" / f"{number:05d}.jpg"
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(number)
    width, height = np.clip(np.exp(random.normal(6.4, 0.5, 2)), 120, 3000).astype(int)
    small = random.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((int(width), int(height)), Image.Resampling.BICUBIC)
    partial = path.with_suffix(".partial")
    image.save(partial, "JPEG", quality=90)
    partial.replace(path)


def loader(folder: Path) -> Any:
    """The usual way: 2 workers that decode, resize and crop."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    transform = v2.Compose([v2.Resize(SIZE), v2.CenterCrop(SIZE), v2.PILToTensor()])
    return DataLoader(ImageFolder(folder / "photo", transform), BATCH, num_workers=2, shuffle=True)


def one_pass(folder: Path) -> int:
    return sum(len(x) for x, _ in loader(folder))


def forget(folder: Path) -> None:
    """As if the images had never been seen."""
    from bench.core.paths import cache_root

    for part in ("decoded", "index"):
        shutil.rmtree(cache_root() / part, ignore_errors=True)


def first_decode(folder: Path) -> int:
    """From a folder that was never seen to the cache: listed, read, identified, decoded."""
    from bench.data.dataset import open_dataset

    return len(open_dataset(own_card(folder)).decoded("photo", SIZE))


def batches(folder: Path) -> int:
    """A shuffled pass out of the cache, opened anew: what the DataLoader's pass gives, uint8 tensors."""
    import torch

    from bench.data.dataset import open_dataset

    pixels = open_dataset(own_card(folder)).decoded("photo", SIZE)
    order = np.random.default_rng(0).permutation(len(pixels))
    return sum(
        len(torch.from_numpy(pixels[order[i : i + BATCH]]).permute(0, 3, 1, 2))
        for i in range(0, len(order), BATCH)
    )


WAYS: dict[str, tuple[Callable[[Path], int], Callable[[Path], None] | None]] = {
    LOADER: (one_pass, None),
    DECODE: (first_decode, forget),
    BATCHES: (batches, None),
}
"""What is timed, and what happens before it each time."""

seconds: dict[str, float] = {}
"""The fastest pass of each way so far, in this run."""


@pytest.mark.parametrize("way", WAYS)
def test_a_pass_over_all_images(way: str, folder: Path, benchmark: Any) -> None:
    """`times_the_loader` in `extra_info`: how many times as fast as the DataLoader's pass in the same run."""
    work, before = WAYS[way]
    benchmark.group = f"a pass over {IMAGES} images at {SIZE} px"

    def setup() -> tuple[tuple[Path], dict[str, Any]]:
        own_card.cache_clear()
        if before:
            before(folder)
        return (folder,), {}

    assert benchmark.pedantic(work, setup=setup, rounds=2) == IMAGES
    seconds[way] = benchmark.stats.stats.min if benchmark.stats else float("nan")
    if LOADER in seconds:
        benchmark.extra_info["times_the_loader"] = seconds[LOADER] / seconds[way]
        print(f"{way}: {seconds[way]:.2f} s, {seconds[LOADER] / seconds[way]:.1f} times the loader")


def test_warm_start(folder: Path, benchmark: Any) -> None:
    """From open to the first batch, after the imports; the private memory it adds is in `extra_info`."""
    first_decode(folder)
    benchmark.group = "warm start"

    def start() -> dict[str, float]:
        process = python("-c", WARM, str(folder), cwd=folder)
        assert process.returncode == 0, process.stderr
        found: dict[str, float] = json.loads(process.stdout)
        return found

    found = benchmark.pedantic(start, rounds=1)
    benchmark.extra_info.update(found)
    print(found)
    assert found["images"] == IMAGES
