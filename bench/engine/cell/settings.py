"""The setting that a cell runs in: what its suite asks for, as far as this machine has it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import torch

from bench.core.errors import CellSkipped, UserError
from bench.engine.cell.devices import check_several, resolve_device
from bench.spec.cell import Cell, Precision, Setting


def resolve(cell: Cell, usual: Setting) -> Setting:
    """The machine's usual setting, with what the cell asks for in its place.

    Raises:
        CellSkipped: this machine lacks it.
    """
    wanted = cell.setting.model_dump(exclude_none=True) if cell.setting else {}
    setting = usual.model_copy(update=wanted)
    try:
        device = resolve_device(setting.device)
        check_several(device, setting.devices, setting.threads)
    except UserError as error:
        raise CellSkipped(str(error)) from None
    processors = os.cpu_count() or 1
    if setting.threads > processors:
        raise CellSkipped(f"{setting.threads} threads, and this machine has {processors} processors")
    if cell.precision == "tf32" and device.type != "cuda":
        raise CellSkipped(f"tf32 is arithmetic of CUDA devices, and this cell runs on {device.type}")
    if setting.compile and setting.devices > 1:
        raise CellSkipped("torch.compile is not tried on several devices: leave it, or devices_per_cell, out")
    if setting.compile and device.type == "cpu" and not (os.environ.get("CXX") or shutil.which("g++")):
        raise CellSkipped("torch.compile needs a C++ compiler on a CPU, and there is no g++")
    if isinstance(setting.compile, str) and device.type != "cuda":
        raise CellSkipped(
            f"compile = '{setting.compile}' replays CUDA graphs, and this cell runs on {device.type}"
        )
    return setting.model_copy(update={"device": str(device)})


@contextlib.contextmanager
def arithmetic(setting: Setting, precision: Precision) -> Iterator[None]:
    """Set threads, TF32 and determinism of arithmetic for the block.

    The threads of a setting; products of float32 in TF32 where a cell asks for it; on accelerators kernels
    that add in the same order each time, so that the same cell gives the same numbers.
    """
    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_num_threads(setting.threads)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    # PyTorch's own default is TF32 for convolutions: fp32 is to mean fp32.
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        with contextlib.nullcontext() if torch.device(setting.device).type == "cpu" else _one_order():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


@contextlib.contextmanager
def _one_order() -> Iterator[None]:
    """Deterministic kernels where torch has them; where it has none, it warns and goes on."""
    # Read when cuBLAS is first used (docs.nvidia.com/cuda/cublas, "Results reproducibility").
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    enabled = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    flags: Any = torch.utils.deterministic
    filled = flags.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Else each new tensor is written once for nothing.
    flags.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warns)
        flags.fill_uninitialized_memory = filled
