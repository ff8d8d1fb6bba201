"""Whether a checkpoint is of the run that is asked for, and whether that can end with the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from train.files.plain import Change, changes, with_new_fields

# What a run can be continued in spite of. All else in an identity decides which run it is.
LOOSE = ("device", "hardware", "threads", "versions", "processes", "parts")
NAMES = {"dali": "DALI"}
COUNTED = {
    "threads": ("thread", "threads"),
    "processes": ("process", "processes"),
    "parts": ("part of a batch", "parts of a batch"),
}
# What an identity is of, by a field that no other kind has.
KINDS = {"type": "run", "settings": "small network", "networks": "evaluation", "certify": "certification"}
SHOWN = 4


@dataclass(frozen=True)
class Comparison:
    """A stored run beside the one that is asked for."""

    decisive: list[Change]
    """What makes it another run."""
    loose: list[str]
    """What makes bytes differ: `2 threads instead of 1`."""


def compare(stored: dict[str, Any], now: dict[str, Any], settings: Any = None) -> Comparison:
    """Compare two identities, which are plain values.

    Args:
        stored: of a checkpoint, perhaps of an older version.
        now: what is asked for. `auto` in it lists the fields that the machine chose, by dotted name; where it chose
            them in both, they decide nothing.
        settings: the dataclass that `now` is made of, or has under `settings`.
    """
    if _kind(stored) != _kind(now):
        return Comparison([Change("kind", _kind(stored), _kind(now))], [])
    stored = _as_now(stored, now, settings)
    # An older checkpoint may not say what was left to the machine, nor all of its circumstances.
    chosen = set(now.get("auto", ())) & set(stored.pop("auto", now.get("auto", ())))
    decisive, loose = [], []
    for change in changes(stored, {name: value for name, value in now.items() if name != "auto"}):
        if change.name in chosen or change.name.partition(".")[0] in LOOSE:
            if change.old is not None and change.new is not None:
                loose.append(_instead(change))
        else:
            decisive.append(change)
    return Comparison(decisive, loose)


def _kind(identity: dict[str, Any]) -> str | None:
    return next((kind for name, kind in KINDS.items() if name in identity), None)


def _as_now(stored: dict[str, Any], now: dict[str, Any], settings: Any) -> dict[str, Any]:
    """An identity in the form of today."""
    stored = dict(stored)
    if "torch" in stored:
        stored["versions"] = {"torch": stored.pop("torch")}
    if stored.get("device") == "cuda":
        stored["device"] = "gpu"
    if "settings" in now:
        return stored | {"settings": with_new_fields(stored.get("settings"), settings)}
    if "parts" in now:
        stored.setdefault("parts", 1)
    filled = with_new_fields(stored, settings)
    return {name: value for name, value in filled.items() if name in stored or name in now}


def _instead(change: Change) -> str:
    kind, _, name = change.name.partition(".")
    if kind == "versions":
        return f"{NAMES.get(name, name)} {change.new} instead of {change.old}"
    if kind in COUNTED:
        return f"{change.new} {COUNTED[kind][change.new != 1]} instead of {change.old}"
    return f"{change.new} instead of {change.old}"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def brief(differences: Sequence[Change]) -> str:
    """The first of them, in brackets' length."""
    more = len(differences) - SHOWN
    return "; ".join([*map(str, differences[:SHOWN]), *([f"{more} more"] if more > 0 else [])])
