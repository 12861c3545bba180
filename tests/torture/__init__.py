"""Long tests of what a run survives: `make torture` prints what they found."""
