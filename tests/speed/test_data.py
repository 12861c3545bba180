"""How fast images come out of the cache and go into it, beside torchvision's ImageFolder and DataLoader.

By default a twentieth of Office-Home; `BENCH_SPEED_IMAGES=15588` makes it whole (some 5 GB of disk). Asserts
nothing about time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.data.own import own_card
from tests.support import python

IMAGES = int(os.environ.get("BENCH_SPEED_IMAGES", "780"))
SIZE, BATCH, CLASSES = 224, 32, 65

WARM = """
import json, os, sys, time
from pathlib import Path
import numpy as np, psutil, torch
import bench.feed
from bench.data.dataset import open_dataset
from bench.data.own import own_card
private = lambda: (lambda m: m.rss - m.shared)(psutil.Process().memory_info())
card = own_card(Path(sys.argv[1]))
before, since = private(), time.perf_counter()
dataset = open_dataset(card)
pixels = dataset.pixels("photo", 224)
inputs = bench.feed.ImageInputs(pixels, (0.5,) * 3, (0.5,) * 3, torch.device("cpu"), True)
x = inputs.take(np.random.default_rng(0).permutation(len(pixels))[:32])
seconds, megabytes = time.perf_counter() - since, (private() - before) / 1e6
print(json.dumps({"images": len(pixels), "seconds": seconds, "megabytes": megabytes}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs at sizes like Office-Home's: 120 to 3,000 pixels a side, median about 600."""
    root = tmp_path_factory.mktemp("speed")
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        width, height = np.clip(np.exp(random.normal(6.4, 0.5, 2)), 120, 3000).astype(int)
        small = random.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((int(width), int(height)), Image.Resampling.BICUBIC)
        path = root / "photo" / f"class{number % CLASSES:02d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=90)
    return root


def loader(folder: Path) -> Any:
    """The usual way: 2 workers that decode, resize and crop."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    transform = v2.Compose([v2.Resize(SIZE), v2.CenterCrop(SIZE), v2.PILToTensor()])
    return DataLoader(ImageFolder(folder / "photo", transform), BATCH, num_workers=2, shuffle=True)


def one_pass(folder: Path) -> int:
    return sum(len(x) for x, _ in loader(folder))


def first_decode(folder: Path) -> int:
    import shutil

    from bench.data.dataset import open_dataset
    from bench.paths import cache_root

    shutil.rmtree(cache_root() / "decoded", ignore_errors=True)
    return len(open_dataset(own_card(folder)).pixels("photo", SIZE))


def batches(folder: Path) -> int:
    """A shuffled pass out of the cache: what the DataLoader's pass gives, uint8 tensors."""
    import torch

    from bench.data.dataset import open_dataset

    pixels = open_dataset(own_card(folder)).pixels("photo", SIZE)
    order = np.random.default_rng(0).permutation(len(pixels))
    return sum(
        len(torch.from_numpy(pixels[order[i : i + BATCH]]).permute(0, 3, 1, 2))
        for i in range(0, len(order), BATCH)
    )


WAYS: dict[str, Callable[[Path], int]] = {
    "ImageFolder and DataLoader, 2 workers": one_pass,
    "first decode into the cache": first_decode,
    "batches out of the cache": batches,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_pass_over_all_images(way: str, folder: Path, benchmark: Any) -> None:
    benchmark.group = f"a pass over {IMAGES} images at {SIZE} px"
    assert benchmark.pedantic(WAYS[way], (folder,), rounds=2) == IMAGES


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
