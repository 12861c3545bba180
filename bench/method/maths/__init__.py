"""Mathematics that the authors of methods share; `bench.api` exports it."""
