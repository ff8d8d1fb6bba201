"""Operators on images before they are mixed."""
