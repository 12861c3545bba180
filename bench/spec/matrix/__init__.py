"""Matrices of cells: suite files, and the cells that they ask for in order."""
