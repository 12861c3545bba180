"""Slices of a batch: what one of several devices takes of it, or what memory holds at once."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from bench.method.batch import Batch


def slice_of(images: int, place: int, size: int) -> tuple[int, int]:
    """Where one of `size` slices begins and ends: they differ by at most one image, the larger ones first."""
    each, more = divmod(images, size)
    begin = place * each + min(place, more)
    return begin, begin + each + (place < more)


def cut(batch: Batch, place: int, size: int) -> Batch:
    """One of `size` slices of a plain batch, with its rows of every stream."""
    begin, end = slice_of(len(batch.x), place, size)

    def rows(stream: Tensor | None) -> Tensor | None:
        assert stream is None or len(stream) == len(batch.x), "all streams of a batch are equally long"
        return None if stream is None else stream[begin:end]

    return replace(
        batch,
        x=batch.x[begin:end],
        y=batch.y[begin:end],
        source_x=rows(batch.source_x),
        source_y=rows(batch.source_y),
        target_x=rows(batch.target_x),
    )
