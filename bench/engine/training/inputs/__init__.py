"""Inputs: a file per modality, from decoded items to what a network takes, augmented."""
