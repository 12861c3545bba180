"""Verbs that read records: report, compare, export, baseline, history, maintenance."""
