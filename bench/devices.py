"""Devices by name. Kept generic: whatever accelerator torch reports."""

from __future__ import annotations

import torch

from bench.errors import UserError


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
