"""The text of RESULTS.md: each paper, with what was measured and its own number."""

from __future__ import annotations

from functools import cache

from docs.claims import SYSTEMS, System
from docs.claims.claims_page import cited, commands_cell, row
from docs.claims.declare import study_command
from docs.claims.found import OPEN, SCALES, Content, Studies
from train.cli.main import find_recipe
from train.study.report import difference_text, mean_text
from train.study.run import find

HEAD = """# Results

Twenty papers, a row each: what was measured, and the paper's own number beside it. Written by `python -m docs.results`
from [the studies](docs/studies.md) alone. *Two cores* is a small network on part of CIFAR-10, trained in minutes: such
numbers are compared with each other, never with the paper's; AutoAttack is there its two gradient attacks. *A GPU-hour*
and *the paper's settings* are filled by a run on a GPU, and empty until there is one. ± is the deviation over seeds;
below, the paired difference to the study's reference, with its 95 % interval. [Each claim of the
abstracts](docs/claims.md) has a table of its own.

*Commands run in a checkout of the project: [set-up](docs/commands.md#set-up).*
"""

FOOT = """
The paper's settings are those of `python -m train.study papers --scale paper --root CIFAR`, or of the command in the
row alone. Where a paper's number is of other data than CIFAR-10, or under attack, its cell says so.
"""


def results_page(studies: Studies) -> str:
    """The text of RESULTS.md."""
    heads = ["", "paper", "command", "two cores", "a GPU-hour", "the paper's settings", "the paper"]
    lines = [HEAD, row(heads), row(["---"] * len(heads))]
    for number, system in enumerate(SYSTEMS, start=1):
        at = {scale: _measured(system, scale, studies) for scale in SCALES}
        told = reported(system)
        lines.append(row([str(number), cited(system), commands_cell([command_of(system)]), *at.values(), told]))
    return "\n".join(lines) + "\n" + FOOT


def command_of(system: System) -> str:
    """What runs it at the paper's settings, as typed after `python -m`."""
    if system.command:
        return system.command
    recipe = find_recipe(*system.recipe.split())[1]
    told = None if recipe.own_claim is None else recipe.own_claim.data
    root = "IMAGES" if recipe.data == "imagenet" else "CIFAR100" if told == "CIFAR-100" else "CIFAR"
    return f"train {system.recipe} --root {root}"


def reported(system: System) -> str:
    """The paper's number: what its recipe claims, or what the table has."""
    claim = find_recipe(*system.recipe.split())[1].own_claim if system.recipe else None
    if claim is None:
        return system.reported or "none at hand"
    without = "" if claim.baseline is None else f", {claim.baseline:g} without the method"
    return f"{claim.accuracy:g} % on {claim.data}{without}: {claim.where}"


def _measured(system: System, scale: str, studies: Studies) -> str:
    """What the studies have of a system at a scale; at the least one, where nothing is measured, what would."""
    places = system.measured if scale != "paper" else _at_the_papers_settings(system)
    texts = [
        text for study, arm, measure in places if (text := _reached(studies.get((study, scale)), arm, measure, study))
    ]
    if texts or scale != "cpu":
        return "<br>".join(texts)
    names = dict.fromkeys(study for study, _, _ in places)
    return f"{OPEN}" + (f": {commands_cell([study_command(name) for name in names])}" if names else "")


@cache
def _of_papers() -> dict[str, str]:
    """The arms of the study of the papers' settings, by their recipes."""
    return {arm.recipe: name for name, arm in find("papers").arms.items()}


def _at_the_papers_settings(system: System) -> list[tuple[str, str, str]]:
    arm = _of_papers().get(system.recipe)
    return [] if arm is None else [("papers", arm, measure) for measure in find("papers").measures]


def _reached(content: Content | None, arm: str, name: str, study: str) -> str:
    if content is None or arm not in content["measures"][name]["arms"]:
        return ""
    measure = content["measures"][name]
    found = measure["arms"][arm]
    text = f"{name} {mean_text(found, measure)}"
    if found["difference"] is None:
        return f"{text} ({study})"
    return f"{text}; {difference_text(found['difference'], measure)} to {content['reference']} ({study})"
