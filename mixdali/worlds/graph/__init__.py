"""The nodes of a DALI graph."""
