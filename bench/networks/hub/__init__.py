"""Encoders in repositories of the hub: their files, and the networks that are read out of them."""
