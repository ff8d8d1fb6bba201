"""Checks of settings, in one line each."""

from __future__ import annotations


def require(holds: bool, name: str, value: object, rule: str) -> None:
    """ValueError "NAME RULE, got VALUE" unless it holds."""
    if not holds:
        raise ValueError(f"{name} {rule}, got {value}")
