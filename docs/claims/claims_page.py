"""The text of docs/claims.md: each claim, with what shows it and what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from docs.claims import SYSTEMS, Claim, Comparison, System
from docs.claims.found import ABSENT, OPEN, VERDICTS, Studies, found_for, verdict_of

HEAD = """# The claims, one by one

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
    lines = [HEAD, *_counts(studies), ""]
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
                lines.append(row([told["paper"], told["claim"], told["verdict"], _told([one], studies)]))
    if not lines:
        return []
    heads = ["paper", "compared", "verdict", "measured"]
    return ["## Beside the abstracts", "", row(heads), row(["---"] * len(heads)), *dict.fromkeys(lines), ""]


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
    lines = [row(heads), row(["---"] * len(heads))]
    for number, system, claim in rows:
        start = [number, cited(system), claim.text]
        lacks = "; ".join(text for text in (claim.lacks, f"it needs {claim.needs}" if claim.needs else "") if text)
        if verdict == ABSENT:
            cells = [*start, claim.lacks]
        elif verdict == OPEN:
            cells = [*start, commands_cell(claim.shown_by), lacks]
        else:
            cells = [*start, _told(claim.tested, studies), commands_cell(claim.shown_by), lacks]
        lines.append(row([*cells, *([claim.tried] if verdict == "does not hold" else [])]))
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


def commands_cell(commands: Sequence[str]) -> str:
    return "<br>".join(f"`python -m {command}`" for command in commands)


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
