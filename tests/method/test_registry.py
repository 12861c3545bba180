from __future__ import annotations

import os
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from bench.core.digest import PACKAGE, combine, file_digest, shared_files
from bench.core.errors import OldProcess, UserError
from bench.engine.cell.digests import loaded_digest
from bench.method.registry import (
    configure,
    explicit,
    hyperparameters,
    load_method,
    method_digest,
    method_file,
    method_modules,
    method_summary,
    select_methods,
)
from tests.support.cells import answer, digests, tiny_cell
from tests.support.checkout import bench, install

ROOT = Path(__file__).parents[2]


def test_a_file_is_a_method() -> None:
    files = {path.stem for path in (ROOT / "methods").glob("*/*.py")} - {"__init__"}
    names = {name for name, module in method_modules().items() if module.startswith("bench.methods.")}
    assert names == {stem.replace("_", "-") for stem in files}
    assert {"linear-probe", "full-finetune", "dann"} <= names


@pytest.mark.parametrize("name", sorted(method_modules()))
def test_every_method_is_found_and_said_what_it_is(name: str) -> None:
    assert method_file(name).is_file()
    assert 20 < len(method_summary(name)) < 120
    assert len(method_digest(name)) == 16


def digest_with(name: str, *shared: str) -> str:
    return combine(*map(file_digest, [method_file(name), *(PACKAGE / path for path in shared)]))


def test_digest_counts_the_shared_code_that_a_method_imports() -> None:
    inner_loop = ["method/episodic.py", "method/maths/inner_loop.py"]
    assert method_digest("maml") == digest_with("maml", *inner_loop)
    assert method_digest("proto-net") == digest_with("proto-net", *inner_loop)
    alignment = ["method/alignment.py", "method/maths/adversarial.py"]
    assert method_digest("dann") == digest_with("dann", *alignment)
    assert method_digest("mcc") == digest_with("mcc", *alignment, "method/maths/information.py")
    for name in ("scratch", "linear-probe"):  # Logistic regression is in the engine's digest.
        assert method_digest(name) == file_digest(method_file(name))


def test_a_change_of_shared_code_makes_the_methods_stale_that_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bench"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("bench.method.registry.shared_files", partial(shared_files, package=package))
    names = sorted(method_modules())
    before = {name: method_digest(name) for name in names}
    changed = package / "method" / "maths" / "inner_loop.py"
    changed.write_text(changed.read_text(encoding="utf-8") + "\nchanged = 1\n", encoding="utf-8")
    stale = {name for name in names if method_digest(name) != before[name]}
    classes = {"ncm", "simpleshot", "meta-baseline", "r2d2"}
    others = {"best-single", "co-tuning", "reptile", "tim"}
    assert stale == {"anil", "maml", "maml-l2l", "proto-net", *classes, *others}


def test_digest_of_a_third_partys_method(site: Path) -> None:
    code = THEIRS.replace("ClosedFormMethod, ", "ClosedFormMethod, prototypes, ")
    points = "nearest-mean = someone_mean:NearestMean\nnearest-prototype = someone_prototype:NearestMean"
    install(site, points, someone_mean=THEIRS, someone_prototype=code)
    assert method_digest("nearest-mean") == file_digest(site / "someone_mean.py")
    assert method_digest("nearest-prototype") == digest_with(
        "nearest-prototype", "method/maths/inner_loop.py"
    )


CHILD = """from __future__ import annotations

from bench.api import Access
{imports}


class Child({base}):
    access = Access.SOURCE_LABELS | Access.TARGET_LABELS
{more}
"""


IMPORTS = [
    "from {lab}.parts import Base",
    "from {lab} import Base",
    "from {lab} import parts\n\nBase = parts.Base",
    "import {lab}.parts\n\nBase = {lab}.parts.Base",
    "from .parts import Base",
    "from . import Base",
]


@pytest.mark.parametrize("number", range(len(IMPORTS)))
def test_a_change_of_what_a_method_imports_of_its_own_package_makes_it_stale(site: Path, number: int) -> None:
    # Of a name of its own in each case: Python keeps what it has imported.
    lab = site / f"lab{number}"
    install(site, f"child = {lab.name}.methods:Child")
    lab.mkdir()
    module, numbers, parts, unrelated = (
        lab / f"{name}.py" for name in ("methods", "numbers", "parts", "unrelated")
    )
    (lab / "__init__.py").write_text("from .parts import Base\n")
    unrelated.write_text("x = 1\n")
    numbers.write_text("RATE = 0.1\n")
    base = "class Base(GradientMethod):\n    learning_rate: float = RATE\n"
    parts.write_text(f"from bench.api import GradientMethod\nfrom .numbers import RATE\n\n\n{base}")
    module.write_text(CHILD.format(imports=IMPORTS[number].format(lab=lab.name), base="Base", more=""))
    seen = {method_digest("child")}
    unrelated.write_text("x = 2\n")
    assert {method_digest("child")} == seen
    for path in (numbers, parts, module):
        path.write_text(f"{path.read_text()}\nchanged = 1\n")
        seen.add(method_digest("child"))
    assert len(seen) == 4


def test_a_process_that_has_loaded_older_shared_code_takes_no_method_of_newer(site: Path) -> None:
    """What the first method has imported, the second one gets, whatever its files say by then."""
    install(site, "one = shop.one:Child\ntwo = shop.two:Child\nthree = shop.three:Child")
    shop = site / "shop"
    shop.mkdir()
    (shop / "__init__.py").write_text("")
    for name in ("parts", "others"):
        (shop / f"{name}.py").write_text("RATE = 0.1\n")
    for name, imported in (("one", "parts"), ("two", "parts"), ("three", "others")):
        imports = f"from bench.api import GradientMethod\nfrom .{imported} import RATE"
        (shop / f"{name}.py").write_text(CHILD.format(imports=imports, base="GradientMethod", more=""))
    assert loaded_digest("one") == method_digest("one")
    (shop / "parts.py").write_text("RATE = 0.2\n")
    with pytest.raises(OldProcess):
        loaded_digest("two")
    assert loaded_digest("one") != method_digest("one")
    assert loaded_digest("three") == method_digest("three")


def test_a_change_of_the_method_that_another_is_made_of_makes_it_stale(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bench"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("bench.method.registry.shared_files", partial(shared_files, package=package))
    imports = "from bench.methods.peft.lora import Lora"
    install(
        site, "child = someone_child:Child", someone_child=CHILD.format(imports=imports, base="Lora", more="")
    )
    before = method_digest("child")
    lora = package / "methods" / "peft" / "lora.py"
    lora.write_text(f"{lora.read_text()}\nchanged = 1\n")
    assert method_digest("child") != before


@pytest.mark.parametrize(
    ("imports", "base", "more"),
    [
        ("from bench.api import GradientMethod", "GradientMethod", '    starts_from = "full-finetune"'),
        ("from bench.api import GradientMethod", "GradientMethod", '    starts_from: str = "full-finetune"'),
        ("from bench.methods.testtime.tent import Tent", "Tent", ""),
    ],
    ids=["assigned", "annotated", "inherited"],
)
def test_digest_counts_the_start_wherever_it_is_named(site: Path, imports: str, base: str, more: str) -> None:
    code = CHILD.format(imports=imports, base=base, more=more).replace(": str", ": ClassVar[str]")
    code = code.replace(
        "from bench.api import Access", "from typing import ClassVar\n\nfrom bench.api import Access"
    )
    # Of a name of its own in each case: Python keeps what it has imported.
    own = site / f"child_{len(code)}.py"
    install(site, f"child = {own.stem}:Child", **{own.stem: code})
    assert load_method("child").starts_from == "full-finetune"
    files = [own, *shared_files(own)]
    digest = combine(*map(file_digest, files)) if len(files) > 1 else file_digest(own)
    assert method_digest("child") == combine(digest, method_digest("full-finetune"))


def test_a_start_that_is_not_written_out_is_refused(site: Path) -> None:
    code = CHILD.format(
        imports="from bench.api import GradientMethod\n\nSTART = 'full-finetune'",
        base="GradientMethod",
        more="    starts_from = START",
    )
    install(site, "child = child_unwritten:Child", child_unwritten=code)
    with pytest.raises(UserError, match='name its start in its class: starts_from = "full-finetune"'):
        load_method("child")


def test_unknown_method() -> None:
    with pytest.raises(UserError, match=r"unknown method 'danm': did you mean"):
        method_file("danm")
    with pytest.raises(UserError, match="unknown method 'linear_probe'"):
        load_method("linear_probe")


def test_configure() -> None:
    method = configure("dann", {"weight": 0.5, "hidden": 8})
    values = hyperparameters(method)
    assert (values["weight"], values["hidden"]) == (0.5, 8)
    assert values.keys() == {"learning_rate", "weight_decay", "warmup", "weight", "hidden"}
    assert hyperparameters(configure("dann", {})) == {**values, "weight": 1.0, "hidden": 1024}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"wieght": 1.0}, "unknown hyperparameter of dann 'wieght': did you mean 'weight'"),
        ({"weight": "heavy"}, "dann.weight: .*number.*'heavy'"),
        ({"hidden": 1.5}, "dann.hidden: .*integer.*1.5"),
        ({"hidden": "many"}, "dann.hidden: .*integer.*'many'"),
        ({"access": 1}, "unknown hyperparameter of dann 'access'"),
    ],
)
def test_wrong_hyperparameters(overrides: dict, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        configure("dann", overrides)


@pytest.mark.parametrize(
    ("method", "overrides", "expected"),
    [
        ("dann", {"weight": -1}, "dann.weight: a number >= 0, not -1.0"),
        ("dann", {"hidden": 0}, "dann.hidden: a number >= 1, not 0"),
        ("dann", {"warmup": 1.1}, "dann.warmup: a number >= 0 and <= 1, not 1.1"),
        ("lora", {"rank": 0}, "lora.rank: a number >= 1, not 0"),
        ("masked-pretraining", {"share": 1.5}, "masked-pretraining.share: a number >= 0 and <= 1, not 1.5"),
        ("mcc", {"temperature": 0}, "mcc.temperature: a number > 0, not 0.0"),
        ("l2-sp", {"weight_decay": -1e-3}, "l2-sp.weight_decay: a number >= 0, not -0.001"),
        ("nas-lite", {"search": 1.0}, "nas-lite.search: a number > 0 and < 1, not 1.0"),
    ],
)
def test_numbers_out_of_bounds(method: str, overrides: dict, expected: str) -> None:
    for ask in (configure, explicit):
        with pytest.raises(UserError) as error:
            ask(method, overrides)
        assert str(error.value) == expected


def test_bounds_are_not_ranges_to_search() -> None:
    assert hyperparameters(configure("dann", {"weight": 0.0}))["weight"] == 0.0
    assert hyperparameters(configure("dann", {"weight": 1000}))["weight"] == 1000.0
    assert hyperparameters(configure("surgical", {"stage": -1}))["stage"] == -1
    assert hyperparameters(configure("partial-finetune", {"unfreeze": "head"}))["unfreeze"] == "head"


@pytest.mark.parametrize(
    ("module", "bounds", "expected"),
    [
        (
            "someone_wordy",
            '{"power": "positive"}',
            "'positive' bounds no number: write conditions like '> 0'",
        ),
        (
            "someone_lost",
            '{"powr": "> 0"}',
            "unknown hyperparameter in bounds of NearestMean 'powr': did you mean 'power'",
        ),
        ("someone_bounded", '{"power": "> 0, < 2.5"}', "nearest-mean.power: a number > 0 and < 2.5, not 2.5"),
    ],
)
def test_bounds_of_somebody_elses_method(site: Path, module: str, bounds: str, expected: str) -> None:
    form = '    """Logits are negative squared distances to class means, up to a constant."""\n'
    code = THEIRS.replace(
        form, f"{form}    bounds = {bounds}\n    power: float = 2.0\n    free: float = 0.0\n"
    )
    install(site, f"nearest-mean = {module}:NearestMean", **{module: code})
    with pytest.raises(UserError, match=re.escape(expected)):
        configure("nearest-mean", {"power": 2.5, "free": -7.0})


def test_explicit_drops_defaults() -> None:
    assert explicit("dann", {}) == {}
    assert explicit("dann", {"weight": 1.0, "hidden": 1024}) == {}
    assert explicit("dann", {"weight": 1}) == {}
    assert explicit("dann", {"weight": 2, "hidden": 1024}) == {"weight": 2.0}
    changed = explicit("dann", {"weight": 2, "hidden": 8})
    assert changed == {"hidden": 8, "weight": 2.0}
    assert list(changed) == ["hidden", "weight"]
    assert isinstance(changed["weight"], float)


# Somebody else's methods ------------------------------------------------------------------------------

THEIRS = '''"""Nearest mean: classify by the nearest class mean of frozen features.

Somebody 2020. https://example.org/nearest-mean
"""

from __future__ import annotations

from typing import Any

import torch

from bench.api import ClosedFormMethod, Model, StageItems, Task


class NearestMean(ClosedFormMethod):
    """Logits are negative squared distances to class means, up to a constant."""

    scale: float = 1.0

    def fit(self, model: Model, items: StageItems, task: Task) -> dict[str, Any]:
        x, y = items.labelled.x, items.labelled.y
        means = torch.stack([x[y == c].mean(0) for c in range(len(task.classes))])
        with torch.no_grad():
            model.head.weight.copy_(self.scale * means)
            model.head.bias.copy_(-self.scale * means.square().sum(1) / 2)
        return {"classes": len(means)}
'''


def test_third_party_method(site: Path, tmp_path: Path) -> None:
    install(site, "nearest-mean = someone_nearest_mean:NearestMean", someone_nearest_mean=THEIRS)
    assert method_modules()["nearest-mean"] == "someone_nearest_mean"
    assert {"linear-probe", "dann"} < method_modules().keys()
    assert method_file("nearest-mean") == site / "someone_nearest_mean.py"
    assert method_summary("nearest-mean").startswith("Nearest mean: ")
    assert load_method("nearest-mean").__name__ == "NearestMean"

    record, predictions = answer(tiny_cell("nearest-mean", overrides={"scale": 0.5}), tmp_path / "artifacts")
    assert record.outcome.status == "done", record.outcome
    assert record.hyperparameters == {"scale": 0.5}
    assert record.details["target"] == {"classes": 4}
    assert record.digests == digests("nearest-mean")
    assert predictions["look0/target-test/logits"].shape[1] == 4


def test_our_methods_cannot_be_replaced(site: Path) -> None:
    install(site, "dann = someone_dann:Dann", someone_dann=THEIRS)
    assert method_modules()["dann"] == "bench.methods.alignment.dann"


def test_two_files_of_one_name_are_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bench.methods

    for family, stem in (("mine", "lora"), ("mine", "two_words"), ("other", "two-words"), ("other", "alone")):
        (tmp_path / family).mkdir(exist_ok=True)
        (tmp_path / family / f"{stem}.py").write_text(THEIRS)
    monkeypatch.setattr(bench.methods, "__path__", [*bench.methods.__path__, str(tmp_path)])
    monkeypatch.setattr(bench.methods.__spec__, "submodule_search_locations", bench.methods.__path__)
    method_modules.cache_clear()
    try:
        for name, places in (("lora", r"peft.lora and .*mine.lora"), ("two-words", r"mine.* and .*other")):
            with pytest.raises(
                UserError, match=rf"method '{name}' is there twice, as .*{places}.*: rename one"
            ):
                method_digest(name)
            with pytest.raises(UserError, match="is there twice"):
                select_methods([name])
        assert method_file("alone")
        assert method_file("dann")
    finally:
        method_modules.cache_clear()


@pytest.mark.parametrize("module", ["someone_gone", "someone_gone.inside"])
def test_entry_point_without_its_module(site: Path, module: str) -> None:
    """Half uninstalled, say: that method is unusable, the others are not."""
    install(site, f"gone = {module}:Gone")
    with pytest.raises(UserError, match=f"method 'gone' is registered as '{module}'"):
        method_file("gone")
    assert method_file("dann")


def test_module_without_a_method(site: Path) -> None:
    install(site, "hollow = someone_hollow", someone_hollow='"""Nothing here."""\n')
    with pytest.raises(UserError, match=r"someone_hollow.py must define one Method class, not 0"):
        load_method("hollow")


def test_module_that_cannot_be_imported(site: Path) -> None:
    install(site, "broken = someone_broken", someone_broken='"""Broken."""\nimport no_such_module_anywhere\n')
    with pytest.raises(UserError, match="broken"):
        load_method("broken")


def test_methods_that_cannot_be_loaded_are_listed_with_the_others(site: Path) -> None:
    points = {
        "raising": ("someone_raising", '"""Raises."""\nraise LookupError("gone")\n'),
        "leaving": ("someone_leaving", '"""Leaves."""\nimport sys\nsys.exit("bye")\n'),
        "garbled": ("someone_garbled", '"""No Python."""\ndef f(:\n'),
        "inside": ("someone_package.inner", ""),
    }
    files = {module: text for module, text in points.values() if text}
    install(site, "\n".join(f"{name} = {module}:M" for name, (module, _) in points.items()), **files)
    (site / "someone_package").mkdir()
    (site / "someone_package" / "__init__.py").write_text("1 / 0\n")
    reasons = {
        "raising": r"cannot be imported: LookupError: gone \(someone_raising.py:2\)",
        "leaving": r"cannot be imported: SystemExit: bye \(someone_leaving.py:3\)",
        "garbled": r"cannot be read: SyntaxError: invalid syntax \(someone_garbled.py:2\)",
        "inside": r"'someone_package.inner': ZeroDivisionError: division by zero",
    }
    for name, reason in reasons.items():
        with pytest.raises(UserError, match=reason):
            method_summary(name)
    with pytest.raises(UserError, match=reasons["garbled"]):
        method_digest("garbled")
    process = bench("list", "methods", cwd=site, PYTHONPATH=os.pathsep.join([str(ROOT), str(site)]))
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("cannot be loaded: ") == 4
    assert "linear-probe" in process.stdout
    where = ("run", "--suite", "smoke", "--methods", "raising", "--plan")
    process = bench(*where, cwd=site, PYTHONPATH=os.pathsep.join([str(ROOT), str(site)]))
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("error: method 'raising'")
    assert process.stderr.count("\n") == 1
    assert not (site / "results").exists()


def test_methods_by_family_and_pattern() -> None:
    chosen = ["anil", "maml", "maml-l2l", "reptile", "lp-finetune"]
    assert select_methods(["family:metalearning", "maml", "lp-*"]) == chosen
    for wrong, words in {
        "family:aligment": "unknown family of methods 'aligment': did you mean 'alignment'",
        "alignment": "'alignment' is a family of methods: did you mean 'family:alignment'?",
        "x*": "no method matches 'x*'",
    }.items():
        with pytest.raises(UserError, match=re.escape(words)):
            select_methods([wrong])
