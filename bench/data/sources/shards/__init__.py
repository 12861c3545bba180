"""Parquet shards of one dataset: fetched from a hub or in a folder, read as one table."""
