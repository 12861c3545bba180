"""Suites, cells, scenarios, settings and plans as frozen models. No torch, no records."""
