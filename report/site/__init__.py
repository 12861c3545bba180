"""Static site of merged results: an index, a page for each suite, method and dataset, Parquet beside them."""
