"""State of the process that a cell could leave to the cells after it: compared, named and put back."""

from __future__ import annotations

import contextlib
import gc
import locale
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.networks.backbones.image import set_switches, switches


@dataclass(frozen=True)
class Global:
    """Part of the process's state: its value now, and how it becomes another."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


@contextlib.contextmanager
def put_back(changed: list[str]) -> Iterator[None]:
    """Put the known state back as it was before the block; adds the names of what had changed."""
    before = [(part, part.read()) for part in GLOBALS]
    try:
        yield
    finally:
        for part, value in before:
            if part.read() != value:
                # What cannot be put back is mended by a new process, which follows in any case.
                with contextlib.suppress(Exception):
                    part.write(value)
                changed.append(part.name)


def _attribute(name: str, owner: Any, attribute: str) -> Global:
    return Global(name, lambda: getattr(owner, attribute), lambda value: setattr(owner, attribute, value))


def _held(name: str, read: Callable[[], Any]) -> Global:
    """Mutable objects: what they hold, which is put into the same objects again."""

    def contents() -> list[Any]:
        return [item.copy() for item in read()]

    def refill(values: list[Any]) -> None:
        for item, value in zip(read(), values, strict=True):
            item.clear()
            (item.extend if isinstance(item, list) else item.update)(value)

    return Global(name, contents, refill)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _handle(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _flushes_denormals() -> bool:
    return float(torch.tensor([1e-310], dtype=torch.float64).mul(1.0)) == 0.0


def _function_modes() -> int:
    return int(torch._C._len_torch_function_stack())


def _pop_function_modes(count: int) -> None:
    torch.set_default_device(None)
    while _function_modes() > count:
        torch._C._pop_torch_function_stack()


def _dispatch_modes() -> int:
    return int(torch._C._len_torch_dispatch_stack())


def _pop_dispatch_modes(count: int) -> None:
    while _dispatch_modes() > count:
        torch._C._pop_torch_dispatch_stack(None)


def _autocast() -> list[Any]:
    kinds = ("cpu", "cuda")
    each = [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds]
    return [*each, torch.is_autocast_cache_enabled()]


def _set_autocast(state: list[Any]) -> None:
    *each, cached = state
    for kind, (enabled, dtype) in zip(("cpu", "cuda"), each, strict=True):
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)
    torch.set_autocast_cache_enabled(cached)


def _deterministic() -> tuple[bool, bool]:
    enabled = torch.are_deterministic_algorithms_enabled()
    return enabled, torch.is_deterministic_algorithms_warn_only_enabled()


def _attention() -> tuple[bool, ...]:
    cuda: Any = torch.backends.cuda
    return tuple(
        getattr(cuda, f"{kind}_sdp_enabled")() for kind in ("flash", "mem_efficient", "math", "cudnn")
    )


def _set_attention(state: tuple[bool, ...]) -> None:
    cuda: Any = torch.backends.cuda
    for kind, enabled in zip(("flash", "mem_efficient", "math", "cudnn"), state, strict=True):
        getattr(cuda, f"enable_{kind}_sdp")(enabled)


def _module_hooks() -> list[Any]:
    owners = (vars(sys.modules[kind.__module__]) for kind in (torch.nn.Module, torch.optim.Optimizer))
    return [
        value
        for owner in owners
        for name, value in sorted(owner.items())
        if name.startswith("_global_") and isinstance(value, dict)
    ]


def _errors_by_warning() -> list[Any]:
    """Filters that make an error of a warning; libraries add others when they are imported."""
    return [entry for entry in warnings.filters if entry[0] == "error"]


def _without_errors(entries: list[Any]) -> None:
    warnings.filters[:] = [  # type: ignore[index]
        *entries,
        *(entry for entry in warnings.filters if entry[0] != "error"),
    ]
    warnings._filters_mutated()  # type: ignore[attr-defined]


_DETERMINISM: Any = torch.utils.deterministic
_BACKENDS: Any = torch.backends

GLOBALS = (
    Global("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Global("torch's function modes, the default device among them", _function_modes, _pop_function_modes),
    Global("torch's dispatch modes", _dispatch_modes, _pop_dispatch_modes),
    Global("torch's grad mode", torch.is_grad_enabled, torch.set_grad_enabled),
    Global("torch's inference mode", torch.is_inference_mode_enabled, lambda value: None),
    Global("torch's autocast", _autocast, _set_autocast),
    Global("torch's threads", torch.get_num_threads, torch.set_num_threads),
    Global(
        "torch's deterministic algorithms",
        _deterministic,
        lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
    ),
    _attribute("torch's filling of new memory", _DETERMINISM, "fill_uninitialized_memory"),
    Global(
        "torch's precision of products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    *(
        _attribute(f"cuDNN's {name}", _BACKENDS.cudnn, name)
        for name in ("enabled", "benchmark", "deterministic", "allow_tf32")
    ),
    *(
        _attribute(f"cuBLAS's {name}", _BACKENDS.cuda.matmul, name)
        for name in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
    ),
    *(_attribute(f"oneDNN's {name}", _BACKENDS.mkldnn, name) for name in ("enabled", "deterministic")),
    Global("torch's kernels of attention", _attention, _set_attention),
    Global(
        "torch's anomaly mode",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.set_anomaly_enabled(*value),
    ),
    Global("the flushing of denormal numbers", _flushes_denormals, torch.set_flush_denormal),
    _held("torch's hooks of all modules or optimisers", _module_hooks),
    Global("timm's switches", switches, set_switches),
    Global("NumPy's handling of errors", np.geterr, lambda value: np.seterr(**value)),
    _held("environment variables", lambda: [os.environ]),
    Global("the working directory", _working_directory, os.chdir),
    _held("Python's search path", lambda: [sys.path]),
    Global(
        "the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)
    ),
    Global("the umask", _umask, os.umask),
    Global("signal handlers", _handlers, _handle),
    Global("the alarm", lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, lambda value: signal.alarm(0)),
    Global("filters of warnings", _errors_by_warning, _without_errors),
    Global("Python's recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Global("the garbage collector", gc.isenabled, lambda value: gc.enable() if value else gc.disable()),
    Global("the level of logging", lambda: logging.root.manager.disable, logging.disable),
    _attribute("the standard output", sys, "stdout"),
    _attribute("the standard error", sys, "stderr"),
)
"""State that is known to change numbers, or to make other cells fail."""
