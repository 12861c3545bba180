"""Backbones, and networks split in two, fused, differentiated faster."""
