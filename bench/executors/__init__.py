"""Ways to run many cells: the only concurrency in the house."""
