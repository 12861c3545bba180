"""Verbs that say what there is: list, show, init, schema, completion."""
