"""Shallow adaptation: features of a frozen network are transformed before a classifier is fitted."""
