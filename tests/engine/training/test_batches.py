from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.api import Episode
from bench.data.splits import Subset
from bench.engine.training.batches import Batches, Endless, Episodes
from bench.engine.training.inputs.base import KeptInputs
from bench.engine.training.inputs.image import ImageInputs, augmentation
from bench.engine.training.inputs.pooled import PooledInputs

CPU = torch.device("cpu")
SIZES = st.integers(1, 23), st.integers(1, 50), st.integers(0, 2**62)


def numbered(n: int) -> KeptInputs:
    """Image i is the number i."""
    return KeptInputs(torch.arange(float(n))[:, None])


def everything(n: int, classes: int = 3) -> Subset:
    return Subset(np.arange(n), np.arange(n) % classes, np.arange(n, dtype=np.int32))


def endless(n: int, batch_size: int, seed: int) -> Endless:
    return Endless(numbered(n), everything(n), batch_size, seed)


@given(*SIZES, st.integers(0, 40))
def test_a_batch_is_a_pure_function_of_seed_and_step(n: int, batch_size: int, seed: int, step: int) -> None:
    stream = endless(n, batch_size, seed)
    x, y = stream.take(step)
    assert len(x) == len(y) == batch_size
    stream.take(step + 1)
    torch.rand(3)
    np.random.rand(3)
    again, labels = endless(n, batch_size, seed).take(step)
    assert torch.equal(x, again)
    assert torch.equal(y, labels)
    assert torch.equal(y, x[:, 0].long() % 3), "labels belong to their images"


@given(*SIZES)
def test_every_image_once_per_pass(n: int, batch_size: int, seed: int) -> None:
    stream = endless(n, batch_size, seed)
    passes = 3
    steps = -(-passes * n // batch_size)
    seen = torch.cat([stream.take(step)[0][:, 0] for step in range(steps)])[: passes * n]
    for one in seen.view(passes, n):
        assert sorted(one.tolist()) == list(range(n))


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_different_seeds_differ(a: int, b: int) -> None:
    # 40 images have 40! orders: equal ones for different seeds will not be seen.
    first, second = endless(40, 40, a).take(0)[0], endless(40, 40, b).take(0)[0]
    assert torch.equal(first, second) == (a == b)
    assert not torch.equal(endless(40, 40, a).take(0)[0], endless(40, 40, a).take(1)[0]), "passes differ"


def images(augment: str = "none", channels_last: bool = False, size: int = 8) -> ImageInputs:
    pixels = np.random.default_rng(0).integers(0, 256, (6, size, size, 3), dtype=np.uint8)
    return ImageInputs(
        pixels, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0), CPU, channels_last, augmentation(augment, size)
    )


def test_normalisation_by_hand() -> None:
    pixels = np.zeros((1, 1, 2, 3), dtype=np.uint8)
    pixels[0, 0] = [[255, 0, 51], [0, 255, 255]]
    x = ImageInputs(pixels, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0), CPU, False).take(np.array([0]))
    # (v / 255 - mean) / std, channels first.
    expected = torch.tensor([[[[1.0, -1.0]], [[-1.0, 3.0]], [[0.2, 1.0]]]])
    torch.testing.assert_close(x, expected)


def test_no_augmentation_leaves_pixels() -> None:
    inputs, rows = images(), np.array([3, 1])
    expected = (inputs.pixels[rows].astype(np.float64) / 255 - [0.5, 0.25, 0.0]) / [0.5, 0.25, 1.0]
    for seed in (None, 5):
        x = inputs.take(rows, seed)
        np.testing.assert_allclose(x.permute(0, 2, 3, 1).numpy(), expected, atol=1e-6)


def test_memory_format_changes_no_value() -> None:
    rows = np.arange(6)
    assert torch.equal(images().take(rows), images(channels_last=True).take(rows))
    assert images(channels_last=True).take(rows).is_contiguous(memory_format=torch.channels_last)
    assert images().take(rows).is_contiguous()


def test_augmentation_leaves_the_global_generators_alone() -> None:
    inputs = images("crop-flip")
    torch.manual_seed(1)
    before, expected = torch.get_rng_state(), np.random.get_state()[1].copy()
    one = inputs.take(np.arange(6), 7)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == expected).all()
    torch.rand(5)
    assert torch.equal(inputs.take(np.arange(6), 7), one), "and is not touched by them"
    assert not torch.equal(inputs.take(np.arange(6), 8), one)


@pytest.mark.parametrize(("augment", "flips"), [("crop-flip", (False, True)), ("crop", (False,))])
def test_augmentation_is_a_shift_and_a_flip(augment: str, flips: tuple[bool, ...]) -> None:
    """Every augmented image is the image itself moved by at most a tenth, mirrored or not, or never."""
    size, pad = 20, 2
    inputs = images(augment, size=size)
    clean = images(size=size).take(np.arange(6))
    augmented = torch.cat([inputs.take(np.arange(6), seed) for seed in range(4)])
    padded = torch.nn.functional.pad(clean, (pad,) * 4, mode="replicate")
    moves = [
        padded[:, :, top : top + size, left : left + size].flip([3] if flip else [])
        for top in range(2 * pad + 1)
        for left in range(2 * pad + 1)
        for flip in flips
    ]
    chosen = []
    for place, image in enumerate(augmented):
        fits = [number for number, move in enumerate(moves) if torch.equal(move[place % 6], image)]
        assert len(fits) == 1
        chosen += fits
    assert len(set(chosen)) > 8, "images of a batch move independently"


def test_resized_crops_are_parts_of_an_image() -> None:
    """Two ramps, across and down, say which: 8 to 100 % of it, sides as 3 : 4 to 4 : 3, some mirrored."""
    size = 64
    ramp = np.linspace(0, 255, size)
    pixels = np.zeros((1, size, size, 3))
    pixels[..., 0], pixels[..., 1] = ramp, ramp[:, None]
    inputs = ImageInputs(
        pixels.astype(np.uint8),
        (0.0,) * 3,
        (1.0,) * 3,
        torch.device("cpu"),
        False,
        augmentation("resized-crop", size),
    )
    x = inputs.take(np.zeros(200, dtype=np.int64), 1)
    assert x.shape == (200, 3, size, size)
    across, down = x[:, 0, size // 2], x[:, 1, :, size // 2]
    wide, high = ((line.amax(1) - line.amin(1) + 1 / size).numpy() for line in (across, down))
    assert 0.06 < (wide * high).min() < 0.2
    assert 0.8 < (wide * high).max() <= 1.05
    assert 0.6 < (wide / high).min() < (wide / high).max() < 1.6
    mirrored = (across[:, 0] > across[:, -1]).float().mean().item()
    assert 0.3 < mirrored < 0.7
    assert (down[:, 0] < down[:, -1]).all()


def test_digits_are_not_mirrored_in_a_strong_view_either() -> None:
    """RandAugment moves and turns an image by less than a quarter: its mark stays in its half."""
    pixels = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    pixels[:, 8:24, 4:8] = 255
    sides = {}
    for name in ("crop", "crop-flip"):
        inputs = ImageInputs(pixels, (0.0,) * 3, (1.0,) * 3, CPU, False, augmentation(name, 32))
        views = [inputs.take(np.array([0]), seed, strong=True)[0, 0] for seed in range(60)]
        sides[name] = sum(float(view[:, 16:].mean()) > float(view[:, :16].mean()) for view in views)
    assert sides["crop"] == 0
    assert sides["crop-flip"] > 10


def test_without_a_seed_nothing_is_augmented() -> None:
    assert torch.equal(images("crop-flip").take(np.arange(6)), images().take(np.arange(6)))


def test_kept_views() -> None:
    clean, views = torch.zeros(4, 1), torch.tensor([[[1.0], [2.0]], [[10.0], [20.0]]])
    inputs = KeptInputs(clean, lambda: views, np.array([-1, 0, -1, 1]))
    rows = np.array([1, 3] * 50)
    assert inputs.take(rows).sum() == 0
    seen = inputs.take(rows, 3)[:, 0]
    assert set(seen[::2].tolist()) == {1.0, 10.0}
    assert set(seen[1::2].tolist()) == {2.0, 20.0}
    assert torch.equal(inputs.take(rows, 3)[:, 0], seen)


def test_a_batch_has_no_room_for_target_labels() -> None:
    stream = endless(10, 4, 0)
    batch = Batches(stream, target=endless(10, 4, 1)).batch(0)
    assert set(vars(batch)) == {
        *("x", "y", "source_x", "source_y", "target_x", "target_second", "target_at", "episode"),
        *("domain", "source_domain"),
    }
    assert batch.target_second is None
    assert batch.source_x is batch.source_y is None
    assert batch.target_x is not None
    assert Batches(stream).batch(0).target_x is None
    full = Batches(stream, endless(10, 4, 2), endless(10, 4, 1))
    assert torch.equal(full.batch(3).source_y, full.batch(3).source_x[:, 0].long() % 3)  # type: ignore[index]
    assert full.sizes == {"labelled": 4, "replayed": 4, "unlabelled": 4}


@given(st.integers(2, 4), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**62), st.integers(0, 30))
def test_episodes(way: int, support: int, query: int, seed: int, step: int) -> None:
    # Classes of 8, 7, 8, 2 and 8 images; the small one never has enough where more are asked for.
    labels = np.repeat(np.arange(5), [8, 7, 8, 2, 8])
    subset = Subset(np.arange(len(labels)), labels, np.arange(len(labels), dtype=np.int32))
    episode = Episode(way, support, query)
    x, y = Episodes(numbered(len(labels)), subset, episode, seed).take(step)
    picked = x[:, 0].long().numpy()
    assert len(x) == len(y) == episode.images == way * (support + query)
    assert len(set(picked)) == len(picked), "no image is both support and query"
    own = labels[picked]
    first, rest = y[: way * support], y[way * support :]
    assert first.tolist() == np.repeat(np.arange(way), support).tolist()
    assert np.bincount(rest, minlength=way).tolist() == [query] * way
    pairs = {(int(a), int(b)) for a, b in zip(own, y, strict=True)}
    assert len(pairs) == way, "an episode's label is one class"
    if support + query > 2:
        assert 3 not in own


def pooled_stream(sizes: list[int], batch_size: int, seed: int = 0) -> Endless:
    """Endless passes over domains of these sizes; item i of all of them is the number i."""
    parts = torch.arange(float(sum(sizes)))[:, None].split(sizes)
    starts = np.cumsum([0, *sizes[:-1]])
    inputs = PooledInputs(tuple(map(KeptInputs, parts)), starts)
    return Endless(inputs, everything(sum(sizes)), batch_size, seed)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(1, 13), st.integers(0, 2**62))
def test_pooled_domains_have_equal_shares(sizes: list[int], batch_size: int, seed: int) -> None:
    items, steps = pooled_stream(sizes, batch_size, seed), 12
    taken = [items.take(step) for step in range(steps)]
    starts = np.cumsum([0, *sizes])
    for step, (x, y) in enumerate(taken):
        domains = items.domains(step)
        assert domains is not None
        assert domains.tolist() == (np.searchsorted(starts, x[:, 0].numpy(), side="right") - 1).tolist()
        assert torch.equal(y, x[:, 0].long() % 3)
        counts = torch.bincount(domains, minlength=len(sizes))
        assert counts.max() - counts.min() <= 1
    seen = torch.cat([x[:, 0] for x, _ in taken]).long()
    for start, size in zip(starts, sizes, strict=False):
        mine = seen[(seen >= start) & (seen < start + size)]
        for one in mine[: len(mine) // size * size].view(-1, size):
            assert sorted(one.tolist()) == list(range(start, start + size)), "each once per pass of its own"


def test_pooled_inputs_keep_the_order_of_rows() -> None:
    inputs = pooled_stream([3, 2], 1).inputs
    assert inputs.take(np.array([4, 0, 3, 2]))[:, 0].tolist() == [4, 0, 3, 2]
    assert inputs.take(np.array([1, 2, 3]))[:, 0].tolist() == [1, 2, 3]
    assert inputs.take(np.arange(0)).shape == (0, 1)


def test_one_domain_of_a_pool_is_taken_as_a_whole() -> None:
    """Where a class or a hold-out leaves items of one domain alone."""
    items = pooled_stream([3, 2], 4)
    one = Endless(items.inputs, items.subset.take(np.array([3, 4])), 4, seed=0)
    assert sorted(one.take(0)[0][:, 0].tolist()) == [3, 3, 4, 4]


def test_a_method_that_does_not_ask_sees_no_domains() -> None:
    items = pooled_stream([3, 2], 4)
    assert Batches(items).batch(0).domain is None
    batch = Batches(items, source=items, with_domains=True).batch(0)
    assert batch.domain is not None
    assert batch.domain.tolist() == [0, 1, 0, 1]
    assert batch.source_domain is not None
    half = batch.slice(1, 2)
    assert half.domain is not None
    assert half.domain.tolist() == [0, 1]
    assert Batches(endless(4, 2, 0), with_domains=True).batch(0).domain is None, "there is one"
