"""Write the tables of docs/papers.md from the recipes' own texts: python -m docs.papers

A table stands between two comments, `<!-- recipes: NAME ... -->` and `<!-- end -->`, and has a row for each name. The
last column is written by hand: where a method is explained.
"""

import ast
import re
from pathlib import Path

from train.cli.main import recipe_outline

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "papers.md"
TABLE = re.compile(r"(<!-- recipes: ([\w ]+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
EXPLAINED = re.compile(r"^\| `(\w+)`.* \| ([^|]*) \|$", flags=re.MULTILINE)


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text()))


def filled(page: str) -> str:
    """The page with its tables as the recipes have them now."""
    explained = dict(EXPLAINED.findall(page))
    return TABLE.sub(lambda match: match[1] + table(match[2].split(), explained) + match[3], page)


def table(names: list[str], explained: dict[str, str]) -> str:
    lines = ["\n| recipe | what it trains | variants | more |", "| --- | --- | --- | --- |"]
    for name in names:
        summary, variants = recipe_outline(name)
        shown = " ".join(f"`{variant}`" for variant in variants[1:])
        lines.append(f"| `{name}`{paper(name)} | {summary} | {shown} | {explained.get(name, '')} |")
    return "\n".join(lines) + "\n\n"


def paper(name: str) -> str:
    """Where and when it was published, as the recipe's second paragraph says, with a link to arXiv."""
    text = ast.get_docstring(ast.parse((ROOT / "train" / "recipes" / f"{name}.py").read_text())) or ""
    cited = " ".join(text.split("\n\n")[1].split()) if "\n\n" in text else ""
    found = re.search(r'",? ((?:[\w&]+ )+\d{4})(?:, arXiv:([\d.]+\d))?\.?', cited)
    if found is None:
        return ""
    where, number = found[1], found[2]
    return f" {where}" + (f", [arXiv:{number}](https://arxiv.org/abs/{number})" if number else "")


if __name__ == "__main__":
    main()
