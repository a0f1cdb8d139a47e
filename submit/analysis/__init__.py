"""Pure statistics of a table of results."""
