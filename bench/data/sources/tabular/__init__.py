"""Sources of rows of numbers and of sequences of letters, out of tables in pinned distributions."""
