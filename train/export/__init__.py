"""A trained network as a file that needs nothing of this project."""
