"""Backbones and what is done to networks: split in two, fused, differentiated faster."""
