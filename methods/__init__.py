"""Ways to transfer, one per file. A file's stem, with dashes, is the method's name."""
