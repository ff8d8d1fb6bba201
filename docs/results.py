"""Write RESULTS.md, docs/claims.md and the claims in the README from the studies: python -m docs.results

The numbers are those of docs/studies/*/study.json, as `python -m train.study` writes them, and of nothing else; what is
claimed, and what shows it, is the table in docs/claims. A study that is put there gets its page and its plot from its
JSON too.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from docs.claims import SYSTEMS
from docs.claims.claims_page import claims_page, counts
from docs.claims.found import Content, Studies, folder_name, name_and_scale, read_studies, verdict_of
from docs.claims.results_page import results_page
from train.show.as_json import as_json
from train.study.report import draw, markdown

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
