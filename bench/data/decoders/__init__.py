"""Decoders: a file per modality, from stored bytes to arrays of one shape. No torch."""
