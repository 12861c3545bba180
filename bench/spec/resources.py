"""Resources that a suite's cells may take, its `[executor]` table: beside the question, in no key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from bench.core.errors import UserError


class Resources(BaseModel):
    """Resources of cells and of the jobs that run them. The command line's options go before these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="cells at once; default: 1, on Ray as many as the cluster has room for",
    )
    cpus_per_cell: int = Field(1, ge=1, le=4096, description="processors of a cell (ray, slurm)")
    memory_gb: float | None = Field(None, gt=0, le=100_000, description="memory of a cell (ray, slurm)")
    cells_per_device: int = Field(1, ge=1, le=64, description="cells that share an accelerator")
    devices_per_cell: int = Field(
        1, ge=1, le=64, description="accelerators that share a cell's batches; on a CPU, processes"
    )
    keep_features: bool = Field(
        False, description="keep features of test items beside predictions, for maps in the report"
    )
    gpus: int = Field(0, ge=0, le=1, description="whether a job has accelerators (slurm)")
    minutes: int = Field(
        60, ge=1, le=525_600, description="time limit of a job; one that meets it is queued again (slurm)"
    )
    partition: str | None = Field(None, description="partition of the jobs (slurm)")
    account: str | None = Field(None, description="account that the jobs are charged to (slurm)")

    @property
    def threads_per_device(self) -> int:
        """Threads of each of a cell's processes."""
        return max(1, self.cpus_per_cell // self.devices_per_cell)

    def check(self) -> None:
        """Make sure that these go together.

        Raises:
            UserError: they do not.
        """
        if self.devices_per_cell > 1 and self.cells_per_device > 1:
            raise UserError(
                f"a cell with devices_per_cell = {self.devices_per_cell} cannot share them with others "
                f"(cells_per_device = {self.cells_per_device}): leave one of the two at 1"
            )
