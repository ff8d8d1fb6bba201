"""Encoded images inside larger files, and where in them each one lies."""
