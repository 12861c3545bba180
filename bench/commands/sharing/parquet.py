"""Records as Parquet, the form in which datasets are handed on: a row per record, predictions beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load, save

from bench.core.errors import UserError
from bench.core.files import atomic_file
from bench.records.archive import LARGEST
from bench.records.baselines import slimmed
from bench.records.codec import Damaged, decode, encode
from bench.records.record import Predictions, Record
from bench.records.store import Store, sha256

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("key", "suite", "dataset", "source", "target", "shots")),
        *(pa.field(name, pa.string()) for name in ("method", "backbone")),
        pa.field("seed", pa.int64()),
        pa.field("status", pa.string()),
        pa.field(
            "accuracy", pa.float64(), metadata={"unit": "share of target test items, by the suite's rule"}
        ),
        pa.field("metric", pa.string(), metadata={"form": "name of what the suite is judged by"}),
        pa.field("score", pa.float64(), metadata={"unit": "of the metric, from 0 to 1, likewise"}),
        pa.field("record", pa.string(), metadata={"form": "JSON of this program, with its checksum"}),
        pa.field("predictions", pa.binary(), metadata={"form": "safetensors"}),
    ]
)
BATCH = 64
"""Rows that are written, and read, at once: predictions have some ten kilobytes each."""
MOST_ROWS = 1_000_000
COLUMNS = ["record", "predictions"]


def write(path: Path, store: Store, records: Iterable[Record]) -> int:
    """Write records of a store into a file, predictions as small as a baseline's; returns how many.

    Raises:
        UserError: predictions are damaged.
        OSError: the file cannot be written.
    """
    count, rows = 0, list[dict[str, object]]()
    with atomic_file(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        for record in records:
            rows.append(_row(store, record))
            count += 1
            if len(rows) == BATCH:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows.clear()
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    return count


def _row(store: Store, record: Record) -> dict[str, object]:
    try:
        arrays = slimmed(store.predictions(record))
    except OSError as error:
        raise UserError(f"cannot pack {record.request.cell.title}: {error}") from None
    blob = save(arrays) if arrays else None
    slim = record.model_copy(update={"predictions_sha256": sha256(blob) if blob else None})
    cell = record.request.cell
    place = record.selected.get(cell.headline)
    return {
        "key": record.key,
        "suite": record.request.suite,
        "dataset": cell.scenario.dataset,
        "source": cell.scenario.source_name,
        "target": cell.scenario.target,
        "shots": str(cell.scenario.shots),
        "method": cell.method,
        "backbone": cell.backbone,
        "seed": cell.seed,
        "status": record.outcome.status,
        "accuracy": None if place is None else record.evaluations[place].accuracy["target-test"],
        "metric": cell.metric,
        "score": None if place is None else record.evaluations[place].score("target-test"),
        "record": encode(slim).decode(),
        "predictions": blob,
    }


def read(path: Path) -> Iterator[tuple[Record, Predictions]]:
    """Read records and their predictions, each checked by its checksum, a few at a time.

    Raises:
        UserError: the file is none of these, too large, or a record in it is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            if missing := {*COLUMNS} - {*file.schema_arrow.names}:
                raise UserError(f"{path.name} is no file of records: it has no column '{sorted(missing)[0]}'")
            groups = range(file.metadata.num_row_groups)
            largest = max((file.metadata.row_group(group).total_byte_size for group in groups), default=0)
            if file.metadata.num_rows > MOST_ROWS or largest > LARGEST:
                raise UserError(
                    f"refused: {path.name} has more rows, or larger groups of them, than records take"
                )
            for batch in file.iter_batches(BATCH, columns=COLUMNS):
                for row in batch.to_pylist():
                    yield _checked(path, row)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"cannot read {path.name}: {' '.join(str(error).split())[:160]}") from None


def _checked(path: Path, row: dict[str, object]) -> tuple[Record, Predictions]:
    try:
        record = decode(str(row["record"]).encode())
        blob = row["predictions"]
        if (sha256(blob) if isinstance(blob, bytes) else None) != record.predictions_sha256:
            raise Damaged(f"the predictions of {record.key} are not those that it was written with")
        return record, load(blob) if isinstance(blob, bytes) else {}
    except (Damaged, ValueError) as error:
        raise UserError(f"{path.name} holds a damaged record: {error}") from None
