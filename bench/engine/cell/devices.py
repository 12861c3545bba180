"""Devices by name. Kept generic: whatever accelerator torch reports."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from bench.core.errors import UserError


def resolve_device(name: str) -> torch.device:
    """The device of that name; `auto` takes the accelerator if there is one.

    Raises:
        UserError: no such kind of device, or none of it on this machine.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    here = ["cpu"]
    if accelerator is not None:
        here += [
            accelerator.type,
            *(f"{accelerator.type}:{i}" for i in range(torch.accelerator.device_count())),
        ]
    if name == "auto":
        return accelerator or torch.device("cpu")
    if name not in here:
        raise UserError(f"no device '{name}' on this machine: choose from {', '.join(['auto', *here])}")
    return torch.device(name)


def numbers(device: torch.device) -> list[int]:
    """Numbers of the accelerators that a name stands for: all of a kind, or one of them; of a CPU none."""
    if device.type == "cpu":
        return []
    return [*range(torch.accelerator.device_count())] if device.index is None else [device.index]


def bind(devices: Sequence[int]) -> None:
    """Make the first of these the accelerator of this process that goes by its kind's name alone.

    So a setting's device is `cuda` on all of them, and cells on different ones share what they have made.
    """
    if devices and devices[0] != torch.accelerator.current_device_index():
        torch.accelerator.set_device_index(devices[0])


def check_several(device: torch.device, count: int, threads: int) -> None:
    """Make sure that a cell can have `count` devices, with `threads` threads each; on a CPU, processes.

    Raises:
        UserError: there are not as many.
    """
    if count == 1:
        return
    asked = f"devices_per_cell = {count}"
    if not torch.distributed.is_available():
        raise UserError(f"{asked} needs torch.distributed, which this build of torch lacks")
    if device.index is not None:
        raise UserError(f"{asked}, and '{device}' is one: name the kind alone, as in --device {device.type}")
    if device.type == "cpu":
        processors = os.cpu_count() or 1
        if count * threads > processors:
            raise UserError(
                f"{asked} processes with {threads} thread{'s' if threads > 1 else ''} each, and this "
                f"machine has {processors} processors: lower it in [executor] of the suite"
            )
    elif count > len(numbers(device)):
        raise UserError(
            f"{asked}, and this machine has {len(numbers(device))} of kind {device.type}: lower it in "
            "[executor] of the suite"
        )
