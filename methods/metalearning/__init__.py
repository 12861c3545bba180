"""Meta-learning: an initialisation or an embedding is learnt from which few steps solve a task."""
