"""Parameter-efficient fine-tuning: a small share of the weights, or small additions, are trained."""
