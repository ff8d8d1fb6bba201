"""One file a paper: its settings, its number, and what differs from it."""
