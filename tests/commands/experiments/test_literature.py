"""Literature suites, the whole way, with images of our own making in the datasets' real layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.commands.options import SuiteOptions
from bench.commands.suite_options import select_suite
from bench.core.errors import UserError
from bench.data.catalog import load_card
from bench.records.record import Record
from bench.records.store import Store
from bench.spec.matrix.plan import plan
from tests.data.pictures import as_folders, pictures
from tests.support.checkout import bench

TINY = ("--backbone", "test_efficientnet.untrained", "--image-size", "32", "--steps", "40", "--seeds", "0")
SUITES = {
    "office-home": ("OfficeHomeDataset_10072016", "", "Art", "Clipart"),
    "office-31": ("office31", "images", "amazon", "dslr"),
    "pacs": ("pacs_data", "", "photo", "sketch"),
}
EACH = 2
"""Images of a class in a domain: too few to hold any of them out."""


@pytest.mark.parametrize("dataset", SUITES)
def test_a_copy_of_the_real_layout_is_trained_and_tested_on_as_a_whole(dataset: str, tmp_path: Path) -> None:
    folder, between, source, target = SUITES[dataset]
    card = load_card(dataset)
    as_folders(tmp_path / "data" / folder, pictures(card.domains, card.classes, EACH), between)
    methods = ("full-finetune", "mdd") if dataset == "office-home" else ("mdd",)
    process = bench(
        *("run", "--suite", f"{dataset}-literature", "--data-root", str(tmp_path / "data"), *TINY),
        *("--source", source, "--target", target, "--methods", ",".join(methods), "--results", "results"),
        cwd=tmp_path,
        BENCH_CACHE=str(tmp_path / "cache"),
    )
    assert process.returncode == 0, process.stderr
    store = Store(tmp_path / "results")
    records = {record.request.cell.method: record for record in store.records()}
    assert records.keys() == {*methods}
    for record in records.values():
        check(store, record, EACH * len(card.classes))
    assert records["mdd"].hyperparameters["learning_rate"] == 0.004
    assert records["mdd"].hyperparameters["weight_decay"] == 0.0005
    if "full-finetune" in records:
        assert records["full-finetune"].hyperparameters["learning_rate"] == 0.001
    page = (tmp_path / "results" / "report.html").read_text()
    assert "no image is held out, and all of the target" in page
    assert "have no training image" not in process.stderr + page


def check(store: Store, record: Record, images: int) -> None:
    """All images of the target are tested on, `oracle` chooses by them, and nothing is said of the source."""
    assert record.outcome.status == "done", record.outcome.reason
    predictions = store.predictions(record)
    assert predictions is not None
    for partition in ("target-test", "target-validation"):
        assert sorted(predictions[f"{partition}/items"]) == [*range(images)]
    accuracies = [evaluation.accuracy["target-test"] for evaluation in record.evaluations]
    assert len(accuracies) == 20
    assert accuracies[record.selected["oracle"]] == max(accuracies)
    assert not {"source-val", "dev"} & record.selected.keys()
    assert "infomax" in record.selected
    recipe = record.request.cell.recipe
    assert (recipe.optimizer, recipe.schedule, recipe.backbone_rate) == ("sgd", "inverse", 0.1)
    assert record.cost.stages["source"].items["labelled"] == 40 * 32


def test_domainnets_own_lists_say_what_is_tested_on() -> None:
    suite = select_suite(SuiteOptions("domainnet-literature"))
    cells = plan(suite, load_card("domainnet"))
    assert len(cells) == 12 * len(suite.methods) * 3
    assert not any(cell.unsplit or cell.transductive for cell in cells)
    mcc = next(cell for cell in cells if cell.method == "mcc")
    assert mcc.overrides == {"learning_rate": 0.005, "temperature": 2.0, "weight": 10.0}


def test_unsplit_domains_are_tested_on_where_that_is_honest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="all of the target's images, and shots are among them") as refused:
        select_suite(SuiteOptions("office-home-literature", shots=["0", "5"]))
    assert "\n" not in str(refused.value)
    text = (Path(__file__).parents[3] / "bench/suites/pacs-literature.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("\ntransductive = true", ""))
    with pytest.raises(UserError, match="images that methods adapt to: say so with transductive = true"):
        select_suite(SuiteOptions(str(tmp_path / "mine.toml")))
