"""Worker that answers any cell at once, with numbers drawn from its seed: see `tests.torture.trials`."""

from __future__ import annotations

import numpy as np

from bench.executors.messages import CellRequest
from bench.processes.server import serve
from bench.records.record import Environment, Predictions, Record
from tests.quick import Quick, expected


class Instant(Quick):
    """A worker without torch, whose records are of today's code and data."""

    def work(self, request: CellRequest, environment: Environment) -> tuple[Record, Predictions]:
        record, predictions = expected(request.cell)
        asked = record.request.model_copy(update={"suite": request.suite})
        predictions["target-test/groups"] = np.arange(5, dtype=np.int32)
        look = record.evaluations[0]
        names = ("source-validation", "shots-validation", "target-validation")
        known = dict.fromkeys(names, look.accuracy["target-test"])
        look = look.model_copy(update={"accuracy": {**look.accuracy, **known}})
        update = {
            "digests": request.digests,
            "request": asked,
            "evaluations": (look,),
            "created": "2026-01-01T00:00:00+00:00",
        }
        return record.model_copy(update=update), predictions


if __name__ == "__main__":
    serve(Instant)
