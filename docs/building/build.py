"""Build the site: python docs/building/build.py

The Markdown of docs/ is written for people who read it where it lies. Here it is put together with what lies elsewhere
(the changes, the page for contributors, the reference) in build/docs, from which `mkdocs.yml` makes site/; formulas are
turned into MathML, which browsers draw by themselves, so that nothing is fetched when a page is looked at.
"""

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS, PREPARED, SITE = ROOT / "docs", ROOT / "build" / "docs", ROOT / "site"
sys.path.insert(0, str(ROOT))

from docs.building.api import pages as reference  # noqa: E402

# Pages that lie at the top of the repository, by their name in the site.
ABOVE = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "RESULTS.md": "results.md"}
SHIM = "iframe-worker.js"


def main() -> int:
    prepare()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean"]
    # The generator announces its successor at every start.
    around = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=around, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = [line for line in done.stdout.splitlines() if line.strip() and not line.startswith("INFO ")]
    if done.returncode or said:
        print(*said, sep="\n", file=sys.stderr)
        return done.returncode or 1
    print(f"{finish()} pages: {SITE.relative_to(ROOT)}/index.html")
    return 0


def prepare() -> None:
    """Everything that the generator reads, in build/docs."""
    shutil.rmtree(PREPARED, ignore_errors=True)
    shutil.copytree(DOCS, PREPARED, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for page in PREPARED.rglob("*.md"):
        page.write_text(of_docs(page.read_text()))
    for name, place in ABOVE.items():
        (PREPARED / place).write_text(of_root((ROOT / name).read_text()))
    for place, text in reference().items():
        path = PREPARED / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def of_docs(text: str) -> str:
    """A page of docs/ with the links that lead above it."""
    for name, place in ABOVE.items():
        text = re.sub(rf"\]\((?:\.\./)+{re.escape(name)}", f"]({place}", text)
    return text


def of_root(text: str) -> str:
    """A page of the repository's top with its links into docs/."""
    for name, place in ABOVE.items():
        text = text.replace(f"]({name}", f"]({place}")
    return text.replace("](docs/", "](")


def finish() -> int:
    """What the generator cannot do, in the pages that it made; -> how many they are."""
    pages = sorted(SITE.rglob("*.html"))
    for page in pages:
        text = page.read_text()
        text = re.sub(r'(<(span|div) class="arithmatex">)(.*?)</\2>', with_mathml, text, flags=re.DOTALL)
        up = "../" * (len(page.relative_to(SITE).parts) - 1)
        text = re.sub(r"https://unpkg\.com/iframe-worker/shim", f"{up}building/{SHIM}", text)
        page.write_text(text)
    return len(pages)


def with_mathml(match: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    formula = html.unescape(match[3].strip())
    block = formula.startswith(r"\[")
    return f"{match[1]}{convert(formula[2:-2].strip(), display='block' if block else 'inline')}</{match[2]}>"


if __name__ == "__main__":
    raise SystemExit(main())
