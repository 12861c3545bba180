"""What is wrong with a copy of a dataset: a file for each kind of fault; `examine` puts them together."""
