"""Weights of one's own: named by their content, whole or refused, and never code."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.models import save_for_hf

from bench.core.errors import UserError
from bench.networks.backbones.create import check_backbone, create_backbone
from bench.networks.backbones.image import normalisation
from bench.networks.backbones.own_weights import resolve
from bench.networks.backbones.weights import needs_hub, untrained, weights_digest
from tests.data.pictures import as_folders, pictures
from tests.support.checkout import bench

NAME = "test_efficientnet"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def net() -> torch.nn.Module:
    torch.manual_seed(5)
    return timm.create_model(NAME, num_classes=7)


def saved(net: torch.nn.Module, path: Path) -> Path:
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, path)
    return path


def same(backbone: torch.nn.Module, net: torch.nn.Module) -> bool:
    state = net.state_dict()
    return all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())


def test_a_file_with_a_classifier_of_its_own(home: Path, net: torch.nn.Module) -> None:
    name = resolve(f"{NAME}@{saved(net, home / 'best.safetensors')}")
    shutil.move("best.safetensors", "elsewhere.safetensors")
    assert resolve(f"{NAME}@elsewhere.safetensors") == name == resolve(name)
    assert name.startswith(f"{NAME}@")
    assert len(name) == len(NAME) + 17
    check_backbone(name)
    assert not needs_hub(name)
    assert same(create_backbone(name).net, net)
    assert not same(create_backbone(untrained(name)).net, net)
    assert normalisation(name) == normalisation(f"{NAME}.untrained")
    other = saved(timm.create_model(NAME, num_classes=3), home / "other.safetensors")
    assert resolve(f"{NAME}@{other}") != name


@pytest.mark.parametrize("inside", ["", "state_dict", "model"])
def test_a_file_of_torch(inside: str, home: Path, net: torch.nn.Module) -> None:
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    torch.save({inside: state, "epoch": 3} if inside else state, "last.pth")
    assert same(create_backbone(resolve(f"{NAME}@last.pth")).net, net)


def test_a_folder_of_timms_form(home: Path, net: torch.nn.Module) -> None:
    """As timm writes it for the hub: its own mean and form hold."""
    net.pretrained_cfg.update(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))  # type: ignore[union-attr,operator]
    save_for_hf(net, home / "mine", safe_serialization=True)
    name = resolve("local-dir:mine")
    (home / "mine").rename(home / "moved")
    assert resolve(f"local-dir:{home / 'moved'}") == name
    assert name.startswith(f"{NAME}@")
    check_backbone(name)
    assert same(create_backbone(name).net, net)
    assert normalisation(name) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    create_backbone(untrained(name))


class Code:
    """What runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def test_no_code_is_run(home: Path) -> None:
    (home / "a.pth").write_bytes(pickle.dumps(Code()))
    torch.save({"state_dict": Code()}, home / "b.pth")
    for file in ("a.pth", "b.pth"):
        with pytest.raises(UserError, match="cannot read the weights of"):
            create_backbone(resolve(f"{NAME}@{file}"))
    assert not (home / "ran").exists()


def test_weights_that_will_not_do(home: Path, net: torch.nn.Module) -> None:
    state = dict(net.state_dict())
    first = next(iter(state))
    cases = {
        "part": {key: value for key, value in state.items() if key != first},
        "shape": {**state, first: torch.zeros(1)},
        "type": {**state, first: state[first].to(torch.int8)},
        "more": {**state, "adapter.weight": torch.zeros(1)},
    }
    for what, tensors in cases.items():
        save_file(tensors, home / f"{what}.safetensors")
        with pytest.raises(
            UserError, match=f"are not this network's: .*'{'adapter' if what == 'more' else first}"
        ):
            create_backbone(resolve(f"{NAME}@{what}.safetensors"))
    save_file({**state, first: state[first] / 0}, home / "infinite.safetensors")
    with pytest.raises(UserError, match=f"'{first}' has some that are not finite"):
        create_backbone(resolve(f"{NAME}@infinite.safetensors"))
    (home / "half.safetensors").write_bytes((home / "more.safetensors").read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot read the weights"):
        create_backbone(resolve(f"{NAME}@half.safetensors"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{NAME}@none.safetensors", "cannot read the weights 'none.safetensors'"),
        (f"{NAME}@weights.h5", "a file that ends in .safetensors"),
        ("local-dir:nothing", "holds neither model.safetensors nor pytorch_model.bin"),
        ("local-dir:bad", "is no description of a timm network"),
        (f"{NAME}@pipe.pth", "no regular file"),
        (f"{NAME}@0123456789abcdef", "are not in the cache: name their file once"),
        ("hf-hub:nobody", "names no repository of the hub"),
    ],
)
def test_names_that_will_not_do(name: str, words: str, home: Path) -> None:
    (home / "bad").mkdir()
    (home / "bad" / "model.safetensors").write_bytes(b"")
    (home / "bad" / "config.json").write_text("[" * 100_000)
    os.mkfifo(home / "pipe.pth")
    with pytest.raises(UserError, match=words) as caught:
        check_backbone(resolve(name))
    assert "\n" not in str(caught.value)


def test_names_of_the_hub() -> None:
    for name in ("hf-hub:timm/resnet18.a1_in1k", "hf-hub:me/mine@main"):
        assert resolve(name) == name
        check_backbone(name)
        assert needs_hub(name)
        assert untrained(untrained(name)) == f"{name}.untrained"


def test_how_a_network_of_the_hub_takes_images_is_in_its_digest(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a repository that describes its network; what timm knows, the release of timm stands for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    found = {}
    for repository, name in (("me/mine", "hf-hub:me/mine"), ("timm/resnet18.a1_in1k", "resnet18.a1_in1k")):
        folder = home / f"models--{repository.replace('/', '--')}"
        (folder / "snapshots" / "abc").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
        (folder / "snapshots" / "abc" / "model.safetensors").write_bytes(b"weights")
        found[name] = []
        for mean in ("0.5", "0.485"):
            (folder / "snapshots" / "abc" / "config.json").write_text(f'{{"mean": {mean}}}')
            found[name].append(weights_digest(name))
    assert len({*found["hf-hub:me/mine"]}) == 2
    assert len({*found["resnet18.a1_in1k"]}) == 1
    assert None not in found["resnet18.a1_in1k"]


def test_damaged_weights_in_the_cache_are_not_used(home: Path, net: torch.nn.Module) -> None:
    name = resolve(f"{NAME}@{saved(net, home / 'best.safetensors')}")
    (kept,) = (home / "cache" / "own-weights").rglob("*.safetensors")
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    with pytest.raises(UserError, match="are not in the cache"):
        check_backbone(name)
    assert resolve(f"{NAME}@best.safetensors") == name
    assert same(create_backbone(name).net, net)


def test_a_run_says_which_weights_and_not_where(home: Path, net: torch.nn.Module) -> None:
    as_folders(home / "mine", pictures(["shop", "site"], ["bolt", "nut"], 8))
    saved(net, home / "secret-place.safetensors")
    arguments = ("--data", "mine", "--source", "shop", "--target", "site", "--methods", "linear-probe")
    process = bench(
        *("run", *arguments, "--backbone", f"{NAME}@secret-place.safetensors", "--results", "out"),
        cwd=home,
        BENCH_CACHE=str(home / "cache"),
    )
    assert process.returncode == 0, process.stderr
    for path in (home / "out").glob("records/??/*.json"):
        text = path.read_text()
        cell = json.loads(text)["request"]["cell"]
        assert cell["backbone"] == resolve(f"{NAME}@secret-place.safetensors")
        assert "secret-place" not in text
    assert "secret-place" not in (home / "out" / "report.html").read_text()


@pytest.mark.parametrize("name", ["test_vit", "test_vit2"])
def test_embeddings_of_positions_are_interpolated(home: Path, name: str) -> None:
    """As timm does it for weights of its own: all others are what the file holds."""
    theirs = timm.create_model(name, num_classes=7)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_()
    saved(theirs, home / "own.safetensors")
    mine = create_backbone(resolve(f"{name}@own.safetensors"), 64).net.state_dict()
    expected = timm.create_model(
        name,
        pretrained=True,
        pretrained_cfg_overlay={"file": "own.safetensors"},
        num_classes=0,
        img_size=64,
    ).state_dict()
    assert mine.keys() == expected.keys()
    assert any(value.shape != theirs.state_dict()[key].shape for key, value in mine.items())
    for key, value in expected.items():
        torch.testing.assert_close(mine[key], value, rtol=0, atol=0, msg=key)
