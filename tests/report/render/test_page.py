from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import wave
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bench.records import convergence
from bench.records.record import Cost
from bench.records.store import Store
from bench.report.render.fingerprint import code_files
from bench.report.render.page import build
from bench.report.render.samples import Samples
from bench.report.tables.methods.families import MethodNotes
from bench.spec.matrix.suite import ScenarioTable, Suite
from tests.report import synthetic
from tests.support.checkout import ROOT, python
from tests.support.pages import of_images

VOID = {"meta", "link", "br", "img", "input", "hr", "path", "rect", "line", "use", "image"}


class Page(HTMLParser):
    """Checks that tags nest, and collects what a browser would load, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "href", "xlink:href", "data", "poster", "action"):
                (self.anchors if value.startswith("#") else self.loads).append(value)
            if name == "id":
                self.ids.append(value)
            assert not name.startswith("on")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def page(store: Store, **more) -> tuple[str, Page]:
    html = build(store.root, **more).read_text(encoding="utf-8")
    parsed = Page(html)
    assert all(target.startswith("data:") for target in parsed.loads)
    assert not re.search(r"@import|url\((?!#)", html)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {anchor[1:] for anchor in parsed.anchors} <= set(parsed.ids)
    assert html.count("<script>") == 1
    return " ".join(" ".join(parsed.text).split()), parsed


def test_a_page_tells_what_the_records_say(store: Store) -> None:
    pairs = [("photo", "sketch"), ("sketch", "photo"), (None, "photo"), (None, "sketch")]
    synthetic.fill(store, {"linear-probe": 20, "dann": 26}, pairs, seeds=[0, 1])
    text, parsed = page(store)
    assert "dann has the highest accuracy, 15.0 points above linear-probe" in text
    assert "dann 65.0 %" in text
    assert "Means over the 4 cells that 2 methods share" in text
    assert "toy-suite" in text
    assert "uses target labels" in text
    assert "items are not at hand" in text
    keys = store.keys()
    assert len(keys) == 24
    for key in keys:
        assert f"python -m bench run --cell {key} --data FOLDER --results {store.root}" in text
    assert parsed.tags.count("svg") >= 6


def test_the_same_records_make_the_same_page(store: Store, tmp_path: Path) -> None:
    synthetic.fill(store, {"linear-probe": 20, "dann": 26})
    one, other = (build(store.root, tmp_path / name).read_bytes() for name in ("one.html", "other.html"))
    assert one == other


def test_a_suite_names_page_and_baseline(store: Store) -> None:
    synthetic.fill(store, {"a": 20, "b": 30}, shots=[5])
    suite = Suite(
        name="my & suite",
        description="what for & why",
        dataset="toys",
        backbones=["tiny"],
        methods=["a", "b"],
        baseline="a",
        scenarios=[ScenarioTable(kind="cross-domain", shots=[5])],
    )
    text, _ = page(store, suite=suite)
    assert "my & suite" in text
    assert "what for & why" in text
    assert "25.0 points above a" in text
    assert "Which method transfers best from another domain of toys?" in text
    asked = suite.model_copy(update={"description": "Do five labels help?"})
    assert "<h1>Do five labels help?</h1>" in build(store.root, suite=asked).read_text(encoding="utf-8")


def test_families_are_what_the_caller_knows(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "dann": 26, "dann-like": 12}, shots=[5])
    text, _ = page(store)
    assert "Families" in text.split("Not on this page:")[1], "records do not say it"
    notes = MethodNotes(
        families={"linear-probe": "finetuning", "dann": "alignment"}, about={"alignment": "apart."}
    )
    text, _ = page(store, notes=notes)
    assert "Families" not in text.split("Not on this page:")[1]
    assert "alignment dann 65.0" in text
    assert "unknown dann-like 30.0" in text, "not installed here"


def test_matrix_is_coloured_by_the_gain_over_the_baseline(store: Store) -> None:
    for method, rights in {"linear-probe": (20, 20), "dann": (28, 18)}.items():
        for target, right in zip(("photo", "sketch"), rights, strict=True):
            synthetic.write(store, synthetic.cell(method, "clip", target), right)
    html = build(store.root).read_text(encoding="utf-8")
    matrix = html[html.index('<table class="matrix"') :]
    rows = re.findall(r'<tr data-method="([\w-]+)">(.*?)</tr>', matrix[: matrix.index("</table>")], re.DOTALL)
    assert [name for name, _ in rows] == ["dann", "linear-probe"], "by rank"
    levels = [re.findall(r'class="n l(-?\d)" data-value="([\d.]+)"', row) for _, row in rows]
    assert levels == [[("4", "70"), ("-2", "45")], [("0", "50"), ("0", "50")]]


def test_empty_folder(store: Store) -> None:
    text, _ = page(store)
    assert "There are no results to compare yet." in text
    assert "holds no records" in text


def test_only_skipped_and_failed(store: Store) -> None:
    store.write(synthetic.record(synthetic.cell("maml"), "skipped", "needs 3 images a class"), {})
    log = "Traceback <module>\n  ValueError"
    store.write(synthetic.record(synthetic.cell("dann"), "failed", "diverged at step 7", log), {})
    text, _ = page(store)
    assert "needs 3 images a class" in text
    assert "diverged at step 7" in text
    assert "Traceback <module>" in text
    assert "Nothing can be compared yet" in text


def test_damage_is_shown(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "dann": 26})
    first, second, third = store.keys()[:3]
    store.path(first).write_text('{"key": "half')
    next(store.path(second).parent.glob(f"{second}.*.safetensors")).unlink()
    store.path(third).write_text(json.dumps({"schema_version": 99}))
    text, _ = page(store)
    assert "3 cells unreadable" in text
    assert "the predictions file is missing" in text
    assert first in text


def test_missing_cells_are_shown(store: Store) -> None:
    there, absent = synthetic.cell("dann"), synthetic.cell("maml")
    synthetic.write(store, there, 20)
    text, _ = page(store, expected=[there, absent])
    assert "1 cell done, 1 cell missing." in text
    assert f"--cell {absent.key}" in text


def test_markup_in_names_stays_text(store: Store) -> None:
    name = "<script>alert(1)</script>\"'&{{7*7}}"
    pairs = [("<b>", "<i>x"), ("<i>x", "<b>")]
    synthetic.fill(store, {"linear-probe": 20, name: 26}, pairs)
    store.write(synthetic.record(synthetic.cell("x"), "failed", "<img src=x onerror=alert(1)>"), {})
    text, parsed = page(store, samples=Samples({"<b>": [("<u>", np.zeros((4, 4, 3), np.uint8))]}))
    assert name in text
    assert not {"b", "i", "u"} & set(parsed.tags)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite(store: Store, value: float) -> None:
    arrays = synthetic.predictions({0: range(40), 1: range(40)})
    arrays["look1/target-test/logits"][:] = value
    store.write(synthetic.record(synthetic.cell()), arrays)
    text, _ = page(store)
    assert "without finite logits" in text
    assert "0.0 %" in text


def test_one_cell_alone(store: Store) -> None:
    synthetic.write(store, synthetic.cell(), 20)
    text, _ = page(store)
    assert "linear-probe 50.0 %" in text
    assert "Only linear-probe has results, on 1 cell." in text
    assert "One seed" in text
    assert "One pair" in text


def test_all_equal_scores(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "b": 20, "c": 20}, shots=[5], seeds=[0, 1])
    text, _ = page(store)
    assert "All methods tie on every question" in text
    assert "3 comparisons: 0 told apart" in text
    assert "cannot be said" in text
    assert "nan" not in text.lower().split()


def test_one_seed_and_few_domains_say_what_they_cannot(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "b": 30, "c": 10}, shots=[5])
    text, _ = page(store)
    assert "With one seed this speaks of these runs, not of the methods" in text
    assert "how other domains would do cannot be said" in text


def test_many_pairs_have_ranks_profiles_and_domains(store: Store) -> None:
    pairs = [(a, b) for a in "pqrs" for b in "pqrs" if a != b]
    synthetic.fill(store, {"linear-probe": 20, "b": 30, "c": 10}, pairs, shots=[5], seeds=[0, 1])
    synthetic.write(store, synthetic.cell("b", None, "p", seed=0), 3)
    text, parsed = page(store)
    assert "Average ranks over 12 questions" in text
    assert "Performance profile" in text
    assert parsed.tags.count("svg") >= 6


def test_a_class_absent_from_the_test_split_is_named(store: Store) -> None:
    arrays = synthetic.predictions({0: range(9), 1: range(9)})
    arrays["target-test/labels"][3::4] = 0
    store.write(synthetic.record(synthetic.cell("a")), arrays)
    text, _ = page(store)
    assert "No test image of class 3" in text


def test_a_method_off_its_budget_is_flagged(store: Store) -> None:
    streams = {"source/labelled": 320, "target/labelled": 100}
    synthetic.write(store, synthetic.cell("a"), 20, cost=Cost(stages=synthetic.stages(streams)))
    text, _ = page(store)
    assert "−12.5 % off budget" in text


def test_no_evaluations(store: Store) -> None:
    store.write(synthetic.record(synthetic.cell(), evaluations=(), selected={}), {})
    text, _ = page(store)
    assert "holds no evaluation" in text


def test_suites_and_datasets_mixed_in_one_folder(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "dann": 26}, shots=[0, 5])
    for asked in (synthetic.cell("dann", "photo", "sketch", 5), synthetic.cell("maml", None, "clip", "all")):
        scenario = asked.scenario.model_copy(update={"dataset": "other-toys"})
        other = asked.model_copy(update={"scenario": scenario})
        record = synthetic.record(other)
        asked_by = record.request.model_copy(update={"suite": "second <suite>"})
        arrays = synthetic.predictions({0: range(9), 1: range(9)})
        store.write(record.model_copy(update={"request": asked_by}), arrays)
    text, _ = page(store)
    assert "second <suite> and toy-suite" in text
    assert "other-toys and toys" in text
    assert "pretrained, all target labels" in text


def test_numbers_lead_to_their_records(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "dann": 26}, shots=[5])
    html = build(store.root).read_text(encoding="utf-8")
    keys = store.keys()
    for key in keys:
        assert f'<a href="#record-{key}">' in html or f'<a class=best href="#record-{key}">' in html
        assert f'<tr id="record-{key}">' in html
    groups = re.findall(r'<details class="group" id="([\w-]+)"[^>]*><summary>([\w-]+), cross', html)
    assert [name for _, name in groups] == ["dann", "linear-probe"]
    for anchor, _ in groups:
        assert html.count(f'href="#{anchor}"') > 5


def test_every_row_of_a_method_leads_to_records(store: Store) -> None:
    """Speed spans shots: a link for each; distances and all others have one."""
    before = {"mmd": 0.5}
    for shots in (0, 5):
        for method in ("linear-probe", "dann"):
            asked = synthetic.record(synthetic.cell(method, shots=shots), discrepancy_before=before)
            evaluations = tuple(
                each.model_copy(update={"discrepancy": {"mmd": 0.4}}) for each in asked.evaluations
            )
            arrays = synthetic.predictions({0: range(9), 1: range(9)})
            store.write(asked.model_copy(update={"evaluations": evaluations}), arrays)
    html = build(store.root).read_text(encoding="utf-8")
    anchors = re.findall(r'<details class="group" id="([\w-]+)"', html)
    assert len(anchors) == 4
    for name in ("speed", "validators"):
        section = html[html.index(f'<section aria-labelledby="{name}">') :]
        section = section[: section.index("</section>")]
        assert {a for a in anchors if f'href="#{a}"' in section} == set(anchors), name


def test_pictures_of_classes_are_embedded_once(store: Store) -> None:
    synthetic.fill(store, {"linear-probe": 20, "dann": 26}, shots=[0, 5])
    image = np.full((8, 8, 3), 200, np.uint8)
    found = Samples({}, {}, lambda name: image if name == "class 0" else None)
    html = build(store.root, samples=found).read_text(encoding="utf-8")
    assert html.count("data:image/webp;base64,") == 1
    assert html.count('<use href="#picture-0"/>') > 2


def test_samples_are_inlined(store: Store) -> None:
    images = [("face", np.full((8, 8, 3), 200, np.uint8))]
    text, parsed = page(store, samples=Samples({"photo": images}, {"photo": "by someone, CC BY 4.0"}))
    assert "face" in text
    assert "by someone, CC BY 4.0" in text
    assert sum(load.startswith("data:image/png;base64,") for load in parsed.loads) == 1


def test_recordings_can_be_played(store: Store) -> None:
    samples = np.round(8000 * np.sin(np.arange(16_000) / 5)).astype(np.int16)
    html = build(store.root, samples=Samples({"voice": [("yes <&", samples)]})).read_text(encoding="utf-8")
    (uri,) = re.findall(r'<audio controls preload="none" src="data:audio/wav;base64,([^"]+)"', html)
    assert len(uri) < 12_000
    with wave.open(io.BytesIO(base64.b64decode(uri))) as sound:
        assert (sound.getframerate(), sound.getsampwidth(), sound.getnframes()) == (8000, 1, 8000)
    assert 'aria-label="yes &lt;&amp;"' in html
    assert "media-src data:" in html


def test_reports_load_no_torch() -> None:
    rooms = ", ".join(f"bench.report.render.{name}" for name in ("page", "terminal", "markdown"))
    code = f"import sys, {rooms}; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_a_page_is_made_anew_by_other_code(tmp_path: Path) -> None:
    """Whatever code a page's numbers come through is in its fingerprint: rules and convergence, too."""
    code = (
        "import sys, bench.report.render.page\n"
        "print(*(module.__file__ for name, module in sys.modules.items() if name.startswith('bench.')))"
    )
    found = python("-c", code, cwd=tmp_path)
    loaded = {Path(name).resolve() for name in found.stdout.split()}
    assert Path(convergence.__file__).resolve() in loaded, found.stderr
    rest = loaded - {path.resolve() for path in code_files()}
    assert {path.relative_to(ROOT).parts[1] for path in rest} <= {"processes"}


def test_a_page_speaks_of_its_items_and_of_what_they_are_judged_by(tmp_path: Path) -> None:
    smoke, peptides = (
        build(ROOT / "results" / "baselines" / name, out=tmp_path / f"{name}.html").read_text("utf-8")
        for name in ("smoke", "mhc-binding")
    )
    assert "<em>AUC</em>: share of pairs" in peptides
    assert "test AUC, %" in peptides
    assert "AUC is on target test sequences" in peptides
    assert "5 labelled target sequences per class" in peptides
    assert not of_images(peptides)
    assert "share of pairs" not in smoke
    assert "test accuracy, %" in smoke
    assert "Accuracy is on target test images" in smoke
