"""Helpers that many tests share; `checkout` and `suites` import no torch."""
