"""Training: the loop, batches, checkpoints, shared artifacts, cost."""
