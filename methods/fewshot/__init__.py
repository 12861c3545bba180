"""Few-shot classification: a head made of few examples on an embedding."""
