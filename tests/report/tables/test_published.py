from __future__ import annotations

from bench.records.store import Store
from bench.report.scores.frame import load_frame
from bench.report.tables.published import published
from bench.spec.cell import Scenario
from tests.report import synthetic


def office(method: str, source: str = "Art", target: str = "Clipart", shots: int = 0):
    names = synthetic.CLASSES
    scenario = Scenario(
        kind="cross-domain",
        dataset="office-home",
        source=source,
        source_classes=names,
        target=target,
        target_classes=names,
        shots=shots,
    )
    return synthetic.cell(method).model_copy(update={"scenario": scenario})


def test_published_numbers_stand_beside_ours_with_their_caveat(store: Store) -> None:
    synthetic.write(store, office("dann"), 20, 30)
    synthetic.write(store, office("full-finetune"), 10)
    synthetic.write(store, office("maml"), 10)
    synthetic.write(store, office("dann", shots=5), 20)
    found = published(load_frame(store), "full-finetune")
    dann, alone = found.rows
    assert (dann.method, dann.pair, dann.last, dann.oracle) == ("dann", "Art → Clipart", 50.0, 75.0)
    assert dann.published["resnet50"] == 53.8
    assert alone.published == {"resnet50": 41.1, "vit_base_patch16_224": 52.4}
    assert "oracle" in found.notes[0]
    assert "transductive" in found.notes[0]


def test_no_table_no_rows(store: Store) -> None:
    synthetic.write(store, synthetic.cell("dann", shots=0), 20)
    assert published(load_frame(store), "full-finetune").rows == []
