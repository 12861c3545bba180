"""Methods of a table: the decision between them, their families, their curves."""
