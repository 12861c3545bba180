from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

import bench.engine.training.artifacts
from bench.engine.training.artifacts import Alone, Artifacts, Tensors, pack, unpack
from bench.engine.training.checkpoints import Checkpoint
from bench.engine.training.cost import CostTracker


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> tuple[Tensors, dict[str, Any]]:
        self.calls += 1
        weights = torch.arange(6.0).reshape(2, 3)
        return {"a": weights.T, "b": weights[0], "c": torch.tensor([1, 2])}, {
            "seconds": 2.5,
            "looks": [[1, None]],
        }


def test_made_once_found_next_time(tmp_path: Path) -> None:
    make = Maker()
    tensors, notes, made = Artifacts(tmp_path).get("kind", "key", make)
    assert made
    again, again_notes, again_made = Artifacts(tmp_path).get("kind", "key", make)
    assert not again_made
    assert make.calls == 1
    assert notes["seconds"] == again_notes["seconds"] == 2.5
    assert again_notes == {"seconds": 2.5, "looks": [[1, None]]}
    assert tensors.keys() == again.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(again[name], tensor, rtol=0, atol=0)
        assert again[name].dtype == tensor.dtype


def test_one_under_the_name_of_another_is_made_anew(tmp_path: Path) -> None:
    make = Maker()
    for key in ("one", "two"):
        Artifacts(tmp_path).get("kind", key, make)
    (tmp_path / "kind" / "one.safetensors").replace(tmp_path / "kind" / "two.safetensors")
    assert Artifacts(tmp_path).get("kind", "two", make)[2]
    assert make.calls == 3
    assert not Artifacts(tmp_path).get("kind", "two", make)[2]


@pytest.mark.parametrize("odd", [os.mkdir, os.mkfifo])
def test_a_folder_or_pipe_in_the_place_of_one_stops_nobody(tmp_path: Path, odd: Any) -> None:
    path = tmp_path / "kind" / "key.safetensors"
    path.parent.mkdir()
    odd(path)
    make = Maker()
    for _ in range(2):
        tensors, _, _ = Artifacts(tmp_path).get("kind", "key", make)
        assert tensors["c"].tolist() == [1, 2]
    assert make.calls == (2 if path.is_dir() else 1)


def test_keys_and_kinds_are_apart(tmp_path: Path) -> None:
    make = Maker()
    for kind, key in (("one", "a"), ("one", "b"), ("two", "a")):
        assert Artifacts(tmp_path).get(kind, key, make)[2]
    assert make.calls == 3


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "header", "bit"])
def test_damaged_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    make = Maker()
    Artifacts(tmp_path).get("kind", "key", make)
    (path,) = tmp_path.rglob("*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "cut": whole[:-4],
            "garbage": b"garbage" * 99,
            "header": b"\xff" * 8 + whole[8:],
            "bit": whole[:-1] + bytes([whole[-1] ^ 1]),
        }[damage]
    )
    _, _, made = Artifacts(tmp_path).get("kind", "key", make)
    assert made
    assert make.calls == 2
    assert path.read_bytes() == whole


def same(a: Tensors, b: Tensors) -> bool:
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )


@pytest.mark.parametrize("kind", ["artifact", "checkpoint"])
def test_any_bit_that_changed_is_noticed_or_changes_nothing(tmp_path: Path, kind: str) -> None:
    """Names, types, shapes and notes are under the checksum like the tensors themselves."""
    tensors = {
        "optimizer.0.exp_avg": torch.randn(7, 3),
        "step": torch.tensor([3, 4]),
        "a": torch.ones(5).half(),
    }
    notes = {"seconds": 2.5, "evaluations": [[150, 0.25]], "groups": [{"lr": 0.003, "params": [0]}]}
    path = tmp_path / "x.safetensors"
    tracker = CostTracker(torch.device("cpu"))
    if kind == "checkpoint":
        Checkpoint(path, tracker).save(tensors, notes)
    else:
        pack(path, tensors, notes)
    whole = path.read_bytes()
    found = unpack(path)
    assert found is not None
    expected = found[1]
    assert (expected["notes"] if kind == "checkpoint" else expected) == notes
    bits = range(0, 8 * len(whole), 5)
    for bit in bits:
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        again = unpack(path)
        assert again is None or (same(again[0], tensors) and again[1] == expected), f"bit {bit}"
    assert len(bits) > 700


def test_what_was_not_read_for_longest_has_to_go(tmp_path: Path) -> None:
    make = Maker()
    Artifacts(tmp_path).get("kind", "a", make)
    size = next(tmp_path.rglob("*.safetensors")).stat().st_size
    small = Artifacts(tmp_path, limit=2 * size)
    small.get("kind", "b", make)
    for age, key in ((200, "b"), (300, "a")):
        path = tmp_path / "kind" / f"{key}.safetensors"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    small.get("kind", "a", make)  # Read: now it is younger than b.
    small.get("kind", "c", make)
    assert sorted(path.stem for path in tmp_path.rglob("*.safetensors")) == ["a", "c"]
    assert Artifacts(tmp_path, limit=0).get("kind", "d", make)[2]
    assert [path.stem for path in tmp_path.rglob("*.safetensors")] == ["d"], "the newest stays"


def test_a_disk_that_cannot_be_written_stops_the_sharing_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    make = Maker()
    assert Artifacts(blocked).get("kind", "a", make)[2]
    assert "nothing is shared" in caplog.text
    assert Artifacts(blocked).get("other", "a", Maker())[2]
    assert caplog.text.count("nothing is shared") == 1, "said once, not by every cell"

    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(bench.engine.training.artifacts, "save_file", full)
    for calls in (2, 3):
        tensors, _, made = Artifacts(tmp_path).get("kind", "a", make)
        assert made
        assert make.calls == calls
        assert tensors["a"].shape == (3, 2)
    assert "not kept for other cells" in caplog.text
    assert "No space left on device" in caplog.text


def test_alone_shares_nothing(tmp_path: Path) -> None:
    make, alone = Maker(), Alone(tmp_path)
    assert [alone.get("kind", "a", make)[2] for _ in range(2)] == [True, True]
    assert make.calls == 2
    assert not list(tmp_path.rglob("*"))


def test_failed_making_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> tuple[Tensors, dict[str, Any]]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        Artifacts(tmp_path).get("kind", "key", fail)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert Artifacts(tmp_path).get("kind", "key", Maker())[2], "and it can be tried again"


def test_the_folder_may_be_deleted(tmp_path: Path) -> None:
    make, artifacts = Maker(), Artifacts(tmp_path / "artifacts")
    artifacts.get("kind", "key", make)
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert artifacts.get("kind", "key", make)[2]


def test_a_changed_tensor_does_not_change_the_artifact(tmp_path: Path) -> None:
    tensors, _, _ = Artifacts(tmp_path).get("kind", "key", Maker())
    tensors["b"].zero_()
    again, _, _ = Artifacts(tmp_path).get("kind", "key", Maker())
    assert again["b"].tolist() == [0.0, 1.0, 2.0]


def _slow(root: str, log: str) -> None:
    def make() -> tuple[Tensors, dict[str, Any]]:
        with Path(log).open("a") as file:
            file.write("made\n")
        time.sleep(0.5)
        return {"a": torch.ones(3)}, {"seconds": 0.5}

    tensors, _, _ = Artifacts(Path(root)).get("kind", "key", make)
    assert tensors["a"].sum() == 3


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    arguments = (str(tmp_path / "artifacts"), str(log))
    processes = [context.Process(target=_slow, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert log.read_text() == "made\n"
