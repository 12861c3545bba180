"""The engine: training, evaluation, and the cell that puts them together."""
