"""What a claim of a paper is, and what of this project would show it."""

from __future__ import annotations

from dataclasses import dataclass

OWN_DATA = ("tables", "gan", "localisation")
"""Studies that bring their data with them; the others are given CIFAR-10."""


@dataclass(frozen=True)
class Comparison:
    """A comparison that a study expects, as its `Expected`: one arm better than another in one measure.

    than  "" for a measure that is claimed to be above zero in the arm alone, which no `Expected` says.
    """

    study: str
    arm: str
    measure: str
    than: str = ""


def study_command(name: str) -> str:
    """What runs a study, as typed after `python -m`."""
    return f"train.study {name}" + ("" if name in OWN_DATA else " --root CIFAR")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A row of docs/claims.md.

    text      what the paper claims, in our words.
    tested    the comparisons that decide whether it holds here; their numbers are in docs/studies/STUDY/study.json.
    commands  what shows it, as typed after `python -m`. That of each study in `tested` comes before them by itself.
    lacks     what of the claim they do not show; without a command, why there is none.
    needs     what they need that two cores, CIFAR-10, CIFAR-100 and a folder of images do not give.
    tried     where it does not hold: what was tried to make it hold.
    """

    text: str
    tested: tuple[Comparison, ...] = ()
    commands: tuple[str, ...] = ()
    lacks: str = ""
    needs: str = ""
    tried: str = ""

    @property
    def shown_by(self) -> tuple[str, ...]:
        """All commands; none if nothing shows it."""
        return (*dict.fromkeys(study_command(one.study) for one in self.tested), *self.commands)


@dataclass(frozen=True, kw_only=True)
class System:
    """A paper, and a row of RESULTS.md.

    paper     its arXiv number.
    recipe    the words after `python -m train` that train it at the paper's settings; "" where it trains no classifier.
    command   instead of a recipe, what is typed after `python -m`.
    measured  where its own number stands in the studies: study, arm and measure.
    reported  the paper's number, where no recipe claims it.
    claims    those of its abstract that a run can show.
    """

    name: str
    paper: str
    recipe: str = ""
    command: str = ""
    measured: tuple[tuple[str, str, str], ...] = ()
    reported: str = ""
    claims: tuple[Claim, ...]
