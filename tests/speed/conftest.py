"""What makes the seconds of benchmarks comparable: the machine's fingerprint and a calibration."""

from __future__ import annotations

from statistics import median
from typing import Any


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    import torch

    from bench.engine.cell.environment import where
    from bench.engine.training.cost import calibrate

    device = torch.device("cpu")
    machine_info["fingerprint"] = where(device).machine
    machine_info["calibration_seconds"] = median([s for _ in range(5) for s in calibrate(device)])
