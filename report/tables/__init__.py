"""Tables of the report, as data frames and rows."""
