"""Methods that change the state of their process: it is named and put back; the next cells do not notice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, bench, install, python

LEAKS = {
    "torch's default dtype": "torch.set_default_dtype(torch.float64)",
    "torch's function modes, the default device among them": "torch.set_default_device('meta')",
    "torch's grad mode": "torch.set_grad_enabled(False)",
    "torch's autocast": "torch.set_autocast_enabled('cpu', True)",
    "torch's threads": "torch.set_num_threads(2)",
    "torch's deterministic algorithms": "torch.use_deterministic_algorithms(True)",
    "torch's filling of new memory": "torch.utils.deterministic.fill_uninitialized_memory = False",
    "torch's precision of products": "torch.set_float32_matmul_precision('medium')",
    "cuDNN's benchmark": "torch.backends.cudnn.benchmark = True",
    "cuBLAS's allow_fp16_reduced_precision_reduction": (
        "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False"
    ),
    "oneDNN's enabled": "torch._C._set_mkldnn_enabled(False)",
    "torch's kernels of attention": "torch.backends.cuda.enable_flash_sdp(False)",
    "torch's anomaly mode": "torch.autograd.set_detect_anomaly(True)",
    "the flushing of denormal numbers": "torch.set_flush_denormal(True)",
    "torch's hooks of all modules or optimisers": (
        "torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: o * 2)"
    ),
    "timm's switches": "import timm; timm.layers.config.set_exportable(True)",
    "NumPy's handling of errors": "np.seterr(all='raise')",
    "environment variables": "os.environ['BENCH_CACHE'] = '/nowhere'",
    "the working directory": "os.chdir('/')",
    "Python's search path": "sys.path.insert(0, '/nowhere')",
    "the locale": "locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
    "the umask": "os.umask(0o777)",
    "signal handlers": "signal.signal(signal.SIGUSR2, print)",
    "the alarm": "signal.alarm(3600)",
    "filters of warnings": "warnings.simplefilter('error')",
    "Python's recursion limit": "sys.setrecursionlimit(180)",
    "the garbage collector": "gc.disable()",
    "the level of logging": "logging.disable()",
    "the standard error": "sys.stderr = None",
}
"""What a method does, by what it changes."""
DRAWS = "random.seed(1); np.random.seed(1); torch.manual_seed(1)"
"""Changes what later draws are, which is no fault: each cell begins with generators of its own seed."""

HEAD = """
import gc, locale, logging, os, random, signal, sys, warnings
import numpy as np
import torch
from bench.api import GradientMethod

def noise():
    return random.random() + np.random.rand() + float(torch.rand(()))

class Leaks(GradientMethod):
    leak: str = ""

    def loss(self, model, batch, progress):
        value = super().loss(model, batch, progress) * (1 + noise() / 100)
        exec(self.leak, globals())
        return value

    def predict(self, model, x):
        logits, features = super().predict(model, x)
        return logits + noise(), features

    def report(self, model):
        return {"process": os.getpid()}
"""

SCRIPT = """
import json, sys
from pathlib import Path
from bench.spec.cell import Budget
from tests.support.cells import answer, tiny_cell

def run(leak, folder, source=None):
    budget = Budget(steps=2, batch_size=8, evaluations=1)
    cell = tiny_cell("leaks", source, budget=budget, overrides={"leak": leak})
    record, predictions = answer(cell, Path(folder))
    values = {name: array.tobytes().hex() for name, array in sorted(predictions.items())}
    return record.outcome.reason, record.warnings, hash_of(values)

def hash_of(values):
    import hashlib
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()

found = {name: run("", "shared", "google") for name in ("made", "found")}
for number, leak in enumerate(json.loads(sys.argv[1])):
    of_leak = run(leak, f"{number}-a")
    found[leak] = (*of_leak, *run("", f"{number}-b"))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    install(folder / "site", "leaks = leaks:Leaks", leaks=HEAD)
    return folder


def cells_after(home: Path, *leaks: str) -> dict[str, list[str]]:
    """By leak, in one process: reason, warnings and digest of the cell that leaks, then of an honest one."""
    path = os.pathsep.join([str(ROOT), str(home / "site")])
    process = python("-c", SCRIPT, json.dumps(leaks), cwd=home, PYTHONPATH=path)
    assert process.returncode == 0, process.stderr
    found: dict[str, list[str]] = json.loads(process.stdout)
    return found


def test_the_next_cell_is_as_in_a_fresh_process(home: Path) -> None:
    fresh = cells_after(home, "")
    assert fresh["made"] == fresh["found"], (
        "of generators that libraries share, each stage has its own streams"
    )
    _, nothing, alone, _, _, same = fresh[""]
    assert not nothing
    assert same == alone
    found = cells_after(home, *LEAKS.values(), DRAWS)
    assert found.pop(DRAWS)[3:] == ["", [], alone]
    for name, leak in LEAKS.items():
        _, warned, _, reason, later, answered = found[leak]
        assert [name in text for text in warned] == [True], (name, warned)
        assert (reason, later, answered) == ("", [], alone), name


SUITE = """
description = "a method that cannot be put back"
dataset = "emoji-home"
domains = ["twitter"]
classes = 3
image_size = 32
backbones = ["test_efficientnet.untrained"]
methods = ["leaks"]
seeds = [0]

[budget]
steps = 4
batch_size = 8
evaluations = 1

[[scenarios]]
kind = "pretrained"
shots = [2, 5]
"""
FOREVER = "import builtins; builtins.guard = torch.inference_mode(); builtins.guard.__enter__()"


@pytest.mark.parametrize("leak", ["", FOREVER], ids=["honest", "leaks"])
def test_the_worker_retires(home: Path, leak: str) -> None:
    """Cells share a process, unless one of them has changed it: then none comes after that one."""
    suite = home / f"{'leaks' if leak else 'honest'}.toml"
    suite.write_text(SUITE + (f'\n[set.leaks]\nleak = "{leak}"\n' if leak else ""))
    path = os.pathsep.join([str(ROOT), str(home / "site")])
    process = bench("run", "--suite", suite.name, cwd=home, PYTHONPATH=path)
    records = [
        json.loads(file.read_text()) for file in (home / "results" / suite.stem).glob("records/??/*.json")
    ]
    assert len(records) == 2, process.stderr
    warned = ["inference mode" in " ".join(record["warnings"]) for record in records]
    assert warned == [bool(leak)] * 2
    if not leak:
        assert len({record["details"]["target"]["process"] for record in records}) == 1
    else:
        # In inference mode no gradient can be taken: a cell in the same process could not even build.
        reasons = {record["outcome"]["reason"] for record in records}
        assert len(reasons) == 1, reasons
