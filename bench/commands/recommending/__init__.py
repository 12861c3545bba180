"""Recommendation of methods and networks: what is believed of runs, which to do next, replays on records."""
