"""Executors: ways to run many cells, in local worker processes, on Ray, on Slurm."""
