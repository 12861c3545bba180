"""Self-training: a network's own predictions on the target become its labels."""
