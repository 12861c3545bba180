from __future__ import annotations

import numpy as np

from bench.records.store import Store
from tests.report import synthetic
from tests.same_answers import differences, main


def test_equal_and_other_answers(tmp_path, capsys) -> None:
    before, after = Store(tmp_path / "before"), Store(tmp_path / "after")
    for store, shots in ((before, (0, 5)), (after, (0, 5))):
        store.prepare()
        for number in shots:
            synthetic.write(store, synthetic.cell("a", shots=number), 20)
    assert differences(before, after) == []
    assert main(str(before.root), str(after.root)) == 0
    assert "2 cells: keys and predictions are equal" in capsys.readouterr().out

    changed = synthetic.cell("a", shots=5)
    arrays = synthetic.predictions({0: range(20), 1: range(20)})
    arrays["look1/target-test/logits"] = np.nextafter(arrays["look1/target-test/logits"], np.float16(9))
    after.write(synthetic.record(changed), arrays)
    synthetic.write(after, synthetic.cell("b"), 20)
    found = differences(before, after)
    assert sorted(line.split(": ")[1] for line in found) == ["only in one of them", "other predictions"]
    assert main(str(before.root), str(after.root)) == 1
