"""Checks of settings, in one line each."""

from __future__ import annotations


def check_folder_name(name: str | None) -> None:
    """ValueError unless it is the name of one folder, or None."""
    if name is not None and (name in ("", ".", "..") or "/" in name):
        raise ValueError(f"name must be the name of one folder, got {name!r}; --folder says where it lies")


def require(holds: bool, name: str, value: object, rule: str) -> None:
    """ValueError "NAME RULE, got VALUE" unless it holds."""
    if not holds:
        raise ValueError(f"{name} {rule}, got {value}")
