"""Write RESULTS.md, docs/claims.md and the claims in the README from the studies: python -m docs.results

The numbers are those of docs/studies/*/study.json, as `python -m train.study` writes them, and of nothing else; what is
claimed, and what shows it, is the table in docs/claims. A study that is put there gets its page and its plot from its
JSON too.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from docs.claims import SYSTEMS, Claim, Comparison, System
from docs.claims.declare import study_command
from docs.claims.found import (
    ABSENT,
    OPEN,
    SCALES,
    VERDICTS,
    Content,
    Studies,
    folder_name,
    found_for,
    name_and_scale,
    read_studies,
    verdict_of,
)
from train.cli.main import find_recipe
from train.show.as_json import as_json
from train.study.report import difference_text, draw, markdown, mean_text
from train.study.run import find

ROOT = Path(__file__).parent.parent
STUDIES = ROOT / "docs" / "studies"
RESULTS, CLAIMS, README = ROOT / "RESULTS.md", ROOT / "docs" / "claims.md", ROOT / "README.md"
MENU = ROOT / "mkdocs.yml"
# What stands on the pages for a folder of data, by its name.
ROOTS = {"cifar-10-batches-py": "CIFAR", "cifar-100-python": "CIFAR100", "cifar-100-python-mini": "CIFAR100"}
SHOWN = 8  # claims in the README
BLOCK = re.compile(r"(<!-- claims -->\n).*?(<!-- end -->)", flags=re.DOTALL)
IN_MENU = re.compile(r"( *# studies, written by [^\n]*\n).*?( *# end of the studies\n)", flags=re.DOTALL)


def main() -> None:
    for path in sorted(STUDIES.glob("*/study.json")):
        content = portable(json.loads(path.read_text()))
        path.write_text(as_json(content))
        path.with_name("study.md").write_text(study_page(content))
        draw(path.with_name("study.png"), content)
    studies = read_studies(STUDIES)
    RESULTS.write_text(results_page(studies))
    CLAIMS.write_text(claims_page(studies))
    README.write_text(readme(README.read_text(), studies))
    MENU.write_text(menu(MENU.read_text(), studies))


def portable(content: Content) -> dict[str, Any]:
    """What a study found, with its commands as they are typed in any checkout.

    Raises:
        ValueError: the folder of its data is none that a word stands for.
    """
    name, scale = name_and_scale(content)
    commands = {arm: [_portable(text, name, scale) for text in texts] for arm, texts in content["commands"].items()}
    return {**content, "commands": commands}


def _portable(text: str, name: str, scale: str) -> str:
    words = shlex.split(text)
    for place, word in enumerate(words):
        before = words[place - 1]
        if word.startswith("/") and before == "--root":
            if Path(word).name not in ROOTS:
                raise ValueError(f"{name}: no word stands for the folder {word}; add one to ROOTS in docs/results.py")
            words[place] = ROOTS[Path(word).name]
        elif word.startswith("/"):
            words[place] = f"runs/study-{name}-{scale}/runs{word.rpartition('/runs')[2]}"
    return shlex.join(words)


def study_page(content: Content) -> str:
    """Its report as a page of the documentation."""
    head, _, rest = markdown(content).partition("\n\n")
    where = "*Commands on this page run in a checkout of the project: [set-up](../../commands.md#set-up).*"
    return f"{head}\n\n{where}\n\n{rest}\n![Differences to the reference, with their intervals](study.png)\n"


# docs/claims.md

CLAIMS_HEAD = """# The claims, one by one

Twenty abstracts make 79 claims that a run can show; here is each, with what shows it and what was found. Written by
`python -m docs.results` from [the studies](studies.md) alone; a number that no study has is not here. An interval is
that of the paired differences over seeds, at 95 %: a claim *holds* where it lies on the claim's side of zero, does
*not hold* where it lies on the other, and is *not resolved* where it has both. Networks and data are small, so what is
found speaks of the direction of a claim, not of its size; AutoAttack is there its two gradient attacks, on 250 images.

*Commands on this page run in a checkout of the project: [set-up](commands.md#set-up), which says what `CIFAR` and
`IMAGES` stand for. `CIFAR100`, `SVHN` and `SPEECH` (Google's commands) are folders of these sets, `FOLDER` and `FILE`
what a reader has.*
"""

SECTIONS = {
    "does not hold": "Does not hold",
    "not resolved": "Not resolved",
    "holds": "Holds",
    OPEN: "Not measured yet",
    ABSENT: "Not shown here",
}

THEORY = """## Theory

Three more statements are of proofs, which no run shows: that MixupE regularises all directional derivatives, that AdA
is consistent, and that NCR is an inductive form of label propagation.
"""


def claims_page(studies: Studies) -> str:
    """The text of docs/claims.md."""
    lines = [CLAIMS_HEAD, *_counts(studies), ""]
    for verdict, title in SECTIONS.items():
        chosen = [
            (f"{place}.{number}", system, claim)
            for place, system in enumerate(SYSTEMS, start=1)
            for number, claim in enumerate(system.claims, start=1)
            if verdict_of(claim, studies) == verdict
        ]
        if chosen:
            lines += [f"## {title}", "", *_claims_table(verdict, chosen, studies), ""]
    return "\n".join([*lines, *_further(studies), THEORY])


def _further(studies: Studies) -> list[str]:
    """What studies compare beside the claims of the abstracts."""
    linked = {one for system in SYSTEMS for claim in system.claims for one in claim.tested}
    lines = []
    for (study, _), content in studies.items():
        for told in content["claims"]:
            one = Comparison(study, told["arm"], told["measure"], told["than"])
            if one not in linked:
                lines.append(_row([told["paper"], told["claim"], told["verdict"], _told([one], studies)]))
    if not lines:
        return []
    heads = ["paper", "compared", "verdict", "measured"]
    return ["## Beside the abstracts", "", _row(heads), _row(["---"] * len(heads)), *dict.fromkeys(lines), ""]


def counts(studies: Studies) -> dict[str, int]:
    """What the head of docs/claims.md says, by name."""
    claims = [claim for system in SYSTEMS for claim in system.claims]
    verdicts = Counter(verdict_of(claim, studies) for claim in claims)
    return {
        "claims": len(claims),
        "commands": sum(bool(claim.shown_by) and not claim.needs for claim in claims),
        "whole": sum(bool(claim.shown_by) and not claim.needs and not claim.lacks for claim in claims),
        "measured": sum(verdicts[name] for name in VERDICTS[:3]),
        **{name: verdicts[name] for name in VERDICTS},
    }


def _counts(studies: Studies) -> list[str]:
    found = counts(studies)
    return [
        "| of the claims | number |",
        "| --- | --- |",
        f"| all | {found['claims']} |",
        f"| have a command that runs on two cores | {found['commands']} |",
        f"| of which it shows all that is claimed, but for its size | {found['whole']} |",
        f"| have a measured direction | {found['measured']} |",
        *(f"| {name} | {found[name]} |" for name in VERDICTS),
    ]


def _claims_table(verdict: str, rows: Sequence[tuple[str, System, Claim]], studies: Studies) -> list[str]:
    heads = {
        OPEN: ["", "paper", "claim", "what would show it", "what that lacks"],
        ABSENT: ["", "paper", "claim", "why"],
    }.get(verdict, ["", "paper", "claim", "measured", "command", "what it lacks"])
    if verdict == "does not hold":
        heads.append("tried")
    lines = [_row(heads), _row(["---"] * len(heads))]
    for number, system, claim in rows:
        start = [number, cited(system), claim.text]
        lacks = "; ".join(text for text in (claim.lacks, f"it needs {claim.needs}" if claim.needs else "") if text)
        if verdict == ABSENT:
            cells = [*start, claim.lacks]
        elif verdict == OPEN:
            cells = [*start, _commands(claim.shown_by), lacks]
        else:
            cells = [*start, _told(claim.tested, studies), _commands(claim.shown_by), lacks]
        lines.append(_row([*cells, *([claim.tried] if verdict == "does not hold" else [])]))
    return lines


def _told(tested: Sequence[Comparison], studies: Studies) -> str:
    """What was measured, study by study."""
    places: dict[str, list[str]] = {}
    for found in (found for one in tested for found in found_for(one, studies)):
        places.setdefault(found.where, []).append(found.text)
    return "<br>".join(f"{where}: {'; '.join(texts)}" for where, texts in places.items())


def cited(system: System) -> str:
    """Its name, with a link to arXiv."""
    return f"[{system.name}](https://arxiv.org/abs/{system.paper})"


def _commands(commands: Sequence[str]) -> str:
    return "<br>".join(f"`python -m {command}`" for command in commands)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


# RESULTS.md

RESULTS_HEAD = """# Results

Twenty papers, a row each: what was measured, and the paper's own number beside it. Written by `python -m docs.results`
from [the studies](docs/studies.md) alone. *Two cores* is a small network on part of CIFAR-10, trained in minutes: such
numbers are compared with each other, never with the paper's; AutoAttack is there its two gradient attacks. *A GPU-hour*
and *the paper's settings* are filled by a run on a GPU, and empty until there is one. ± is the deviation over seeds;
below, the paired difference to the study's reference, with its 95 % interval. [Each claim of the
abstracts](docs/claims.md) has a table of its own.

*Commands run in a checkout of the project: [set-up](docs/commands.md#set-up).*
"""

RESULTS_FOOT = """
The paper's settings are those of `python -m train.study papers --scale paper --root CIFAR`, or of the command in the
row alone. Where a paper's number is of other data than CIFAR-10, or under attack, its cell says so.
"""


def results_page(studies: Studies) -> str:
    """The text of RESULTS.md."""
    heads = ["", "paper", "command", "two cores", "a GPU-hour", "the paper's settings", "the paper"]
    lines = [RESULTS_HEAD, _row(heads), _row(["---"] * len(heads))]
    for number, system in enumerate(SYSTEMS, start=1):
        at = {scale: _measured(system, scale, studies) for scale in SCALES}
        told = reported(system)
        lines.append(_row([str(number), cited(system), _commands([command_of(system)]), *at.values(), told]))
    return "\n".join(lines) + "\n" + RESULTS_FOOT


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
    return f"{OPEN}" + (f": {_commands([study_command(name) for name in names])}" if names else "")


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


# The README's block


def readme(text: str, studies: Studies) -> str:
    """The README with what the studies have found."""
    return BLOCK.sub(lambda match: match[1] + readme_block(studies) + match[2], text)


def readme_block(studies: Studies) -> str:
    """What does not hold, what holds, and how much is measured."""
    found = counts(studies)
    first = (
        f"Twenty papers are recipes here, and their abstracts make {found['claims']} claims that a run can show: "
        f"{found['commands']} have a command that runs on two cores, {found['measured']} are measured "
    )
    if not found["measured"]:
        return f"{first}so far. [Each claim](docs/claims.md), [each paper](RESULTS.md).\n"
    holding = [
        (system, claim) for system in SYSTEMS for claim in system.claims if verdict_of(claim, studies) == "holds"
    ]
    more = len(holding) - SHOWN
    lines = [
        f"{first}over seeds, by small networks on little data. [Each claim](docs/claims.md), [each paper](RESULTS.md). "
        f"Of these, against the claim: {found['does not hold']}; not resolved: {found['not resolved']}; as claimed: "
        f"{found['holds']}" + (":" if found["holds"] else "."),
        "",
    ]
    for system, claim in holding[:SHOWN]:
        lacks = f" (not shown: {claim.lacks})" if claim.lacks else ""
        lines.append(f"- {system.name}: {claim.text[0].lower()}{claim.text[1:]}{lacks}.")
    lines += [f"- and {more} more."] if more > 0 else []
    return "\n".join(lines).rstrip("\n") + "\n"


# The menu of the site


def menu(text: str, studies: Studies) -> str:
    """The menu with the pages of the studies."""
    pages = [f"{'':10}- studies/{folder_name(*key)}/study.md\n" for key in sorted(studies)]
    lines = "".join([f"{'':6}- Each study:\n", *pages] if pages else [])
    return IN_MENU.sub(lambda match: match[1] + lines + match[2], text)


if __name__ == "__main__":
    main()
