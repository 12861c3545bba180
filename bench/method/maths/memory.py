"""Memory of items of earlier tasks: a uniform sample of a bounded number of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """Reservoir of rows of numbers (Vitter 1985, algorithm R, https://doi.org/10.1145/3147.3165).

    After n rows were offered, each of them is in it with probability `capacity` / n. Checkpoints keep it.
    """

    offered: Tensor

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.rows = torch.empty(0, 0)
        self.register_buffer("offered", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bytes(self) -> int:
        """Bytes of what is kept."""
        return self.rows.numel() * self.rows.element_size()

    @torch.no_grad()
    def offer(self, *columns: Tensor) -> None:
        """Offer items (N, ...), each as a row of all its columns' numbers."""
        rows = torch.cat([column.reshape(len(column), -1).float() for column in columns], 1)
        if not len(self.rows):
            self.rows = rows[:0]
        for row in rows:
            place = int(torch.randint(int(self.offered) + 1, ()))
            if len(self.rows) < self.capacity:
                self.rows = torch.cat([self.rows, row[None]])
            elif place < self.capacity:
                self.rows[place] = row
            self.offered.add_(1)

    def draw(self, count: int, *shapes: tuple[int, ...]) -> list[Tensor]:
        """Draw so many different items at most, as columns (N, *shape) of these shapes."""
        picked = torch.randperm(len(self.rows))[:count].to(self.rows.device)
        sizes = [int(torch.tensor(shape).prod()) for shape in shapes]
        parts = self.rows[picked].split(sizes, 1)
        return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]

    def get_extra_state(self) -> Tensor:
        """Rows, of which a new memory has none."""
        return self.rows

    def set_extra_state(self, state: Tensor) -> None:
        """Take over the rows of another memory."""
        self.rows = state.to(self.offered.device)
