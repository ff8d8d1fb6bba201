"""What the pages say of the code is so: commands, recipes, messages, names, drawings."""

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import FunctionType

import pytest

from docs import architecture, papers, recipes
from docs.building import api, build, columns
from train.cli.main import recipe_names, recipe_outline
from train.machine.run import Run
from train.recipe import Recipe

ROOT = Path(__file__).parent.parent
TOPS = ("mixdali", "pipelines", "train")
DOCS = ROOT / "docs"
AROUND = [ROOT / name for name in ("README.md", *build.ABOVE)]
PAGES = {str(page.relative_to(ROOT)): page for page in [*AROUND, *sorted(DOCS.rglob("*.md"))]}
WAY = "commands.md#set-up"


def commands(page: Path) -> list[str]:
    """All that a page calls with `python -m` or torchrun, each in one line and without its comment."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    text = re.sub(r"^(.* -m .*?|    make .*?|    \..*?)  +# .*$", r"\1", text, flags=re.MULTILINE)
    return [found.strip() for found in re.findall(r"(?:python|torchrun[^\n`]*?) -m (\w[^\n`;]*)", text)]


COMMANDS = [(name, command) for name, page in PAGES.items() for command in commands(page)]


# Commands


@pytest.mark.parametrize("name", PAGES)
def test_commands_are_called_in_one_way(name: str) -> None:
    text = PAGES[name].read_text()
    assert "bin/python -m" not in text
    assert "bin/torchrun" not in text


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_every_command_on_a_page_is_there_with_its_options(name: str, command: str) -> None:
    module, *words = command.split()
    module = re.sub(r"^mixdali\.(?=pipelines)", "", module)  # where the wheel has the pipelines
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    if spec.submodule_search_locations:
        assert importlib.util.find_spec(f"{module}.__main__") is not None, module
    known = names_of_options(module)
    for option in re.findall(r"--(\w+)", re.sub(r"\[.*?\]", "", " ".join(words))):
        assert option in known or option == "help", option
    if module in ("train", "train.bench") and words and re.fullmatch(r"[a-z]\w*", words[0]):
        recipe, variant = [*(word for word in words[:2] if not word.startswith(("-", "$", "["))), "recipe"][:2]
        assert recipe in recipe_names()
        assert variant in recipe_outline(recipe)[1]


def of_checkout(module: str) -> str:
    """Pages use the name that the pipelines have once installed; in a checkout they lie beside mixdali."""
    return module.removeprefix("mixdali.") if module.startswith("mixdali.pipelines") else module


@cache
def names_of_options(module: str) -> set[str]:
    """The fields of a recipe and a run, and the names in a command's files, of which its options are made."""
    fields_of_a_run = {field.name for kind in (Recipe, Run) for field in fields(kind)}
    path = ROOT / ("train/cli" if module == "train" else of_checkout(module).replace(".", "/"))
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    return fields_of_a_run | set(re.findall(r"\w+", "".join(file.read_text() for file in files)))


def test_every_command_is_on_the_page_of_commands() -> None:
    packages = [path.parent for top in TOPS for path in (ROOT / top).rglob("__main__.py")]
    alone = [
        path.with_suffix("")
        for top in ("pipelines", "train", "docs")
        for path in (ROOT / top).rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py", "build.py")
        and re.search(r'^if __name__ == "__main__":$', path.read_text(), flags=re.MULTILINE)
        and not path.is_relative_to(ROOT / "pipelines" / "bench")  # processes of its own
    ]
    modules = {".".join(path.relative_to(ROOT).parts) for path in [*packages, *alone]}
    shown = {of_checkout(command.split()[0]) for command in commands(DOCS / "commands.md")}
    assert modules <= shown


def test_every_target_of_make_that_a_page_names_is_there() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        name
        for page in PAGES.values()
        for name in re.findall(r"(?:^    |(?<!\*)`)make ([\w-]+)", page.read_text(), re.M)
    }
    assert named <= targets
    assert {"setup", "test", "docs"} <= named


@pytest.mark.parametrize("name", [name for name, _ in dict.fromkeys((name, "") for name, _ in COMMANDS)])
def test_a_page_with_commands_says_how_to_get_to_where_they_run(name: str) -> None:
    if PAGES[name].parent == DOCS / "methods" or name == "CHANGELOG.md":  # they only mention them
        return
    text = PAGES[name].read_text()
    assert WAY in text or "make setup" in text


# Recipes


def test_the_tables_of_the_papers_are_those_of_the_recipes() -> None:
    assert papers.filled(papers.PAGE.read_text()) == papers.PAGE.read_text(), "python -m docs.papers"


def test_the_page_of_the_settings_is_what_the_recipes_say() -> None:
    assert recipes.page() == recipes.PAGE.read_text(), "python -m docs.recipes"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_among_the_papers_and_explained(name: str) -> None:
    rows = re.findall(rf"^\| `{name}`.*\| ([^|]*) \|$", papers.PAGE.read_text(), flags=re.MULTILINE)
    assert len(rows) == 1
    assert "](" in rows[0]


# Messages


@cache
def written() -> str:
    """The texts in the code, one a line, with the blanks of an f-string as `…`."""
    trees = [ast.parse(path.read_text()) for top in TOPS for path in (ROOT / top).rglob("*.py")]
    texts = (_template(node) for tree in trees for node in ast.walk(tree))
    return "\n".join(text for text in texts if " " in text and "\n" not in text)


def _template(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def is_written(message: str) -> bool:
    """Whether the fixed parts of a message stand in one text of the code, in their order."""
    pattern = ".*".join(re.escape(part) for part in message.strip("…").split("…"))
    return re.search(pattern, written()) is not None


def test_every_message_of_the_troubleshooting_page_is_printed_by_the_code() -> None:
    page = (DOCS / "troubleshooting.md").read_text()
    messages = re.findall(r"^\*\*`(.+)`\*\*$", page, flags=re.MULTILINE)
    assert len(messages) > 80
    assert [message for message in messages if not is_written(message)] == []


def test_a_message_that_nobody_prints_is_found() -> None:
    assert is_written("there is no folder …; give the folder that holds the data set")
    assert not is_written("there is no folder …; give the folder that holds the cats")


# The house


def test_the_drawings_of_the_house_are_up_to_date() -> None:
    for name, drawn in architecture.pictures().items():
        assert (DOCS / name).read_text() == drawn, "python -m docs.architecture"


def test_every_function_on_the_way_of_a_batch_is_there() -> None:
    page = (DOCS / "architecture.md").read_text()
    named = re.findall(r"`((?:mixdali|pipelines|train)(?:\.\w+)+)`", page.partition("## The way of a batch")[2])
    drawn = [function for station in architecture.FLOW for function in station[1]]
    assert set(drawn) <= set(named)
    modules = ("train.data.sources", "mixdali.Joined", "mixdali.derive_seed")
    assert [name for name in {*named, *drawn} - set(modules) if not architecture.exists(name)] == []


def test_every_room_is_on_the_page_of_the_house() -> None:
    page = (DOCS / "architecture.md").read_text()
    for room in architecture.rooms().values():
        top, _, inside = room.partition("/")
        for name in inside.split("/")[:1] if " · " not in inside else inside.split(" · "):
            assert name in page.partition(f"room of `{top}`")[2], room


def test_every_folder_of_code_is_in_the_readmes_tree() -> None:
    tree = (ROOT / "README.md").read_text().partition("## The tree")[2]
    for top, after in pairwise(("mixdali", "pipelines", "train", "tests")):
        part = tree.partition(f"\n    {top}/")[2].partition(f"\n    {after}/")[0]
        folders = {path.parent.name for path in (ROOT / top).glob("*/__init__.py")}
        assert folders <= set(re.findall(r"^      (\w+)/", part, flags=re.MULTILINE)), top


# The site


def test_every_page_is_in_the_menu_of_the_site() -> None:
    menu = set(re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert menu == pages | set(build.ABOVE.values()) | set(api.pages())


@pytest.mark.parametrize("page", api.pages())
def test_every_name_of_the_reference_is_there(page: str) -> None:
    names = re.findall(r"^::: (\S+)$", api.pages()[page], flags=re.MULTILINE)
    assert len(names) == len(set(names)) > 0
    for name in names:
        module, _, attribute = name.rpartition(".")
        thing = getattr(importlib.import_module(module), attribute)
        assert thing.__doc__ or not isinstance(thing, type | FunctionType), name


COLUMNS = """Batches.

    source        a folder,
                  or a source.
    color_jitter  by up to this share.
    outputs,      what comes out,
    size          and how large.
    batches_per_run
                  how many.

    kind  of a thing that is no argument.
    """


def test_columns_of_a_docstring_are_sections_on_the_site() -> None:
    own = {"source", "color_jitter", "outputs", "size", "batches_per_run"}
    assert columns.with_sections(inspect.cleandoc(COLUMNS), own).split("\n") == [
        "Batches.",
        "",
        "- `kind`: of a thing that is no argument.",
        "",
        "Args:",
        "    source: a folder, or a source.",
        "    color_jitter: by up to this share.",
        "    outputs: what comes out, and how large.",
        "    size: what comes out, and how large.",
        "    batches_per_run: how many.",
    ]


@pytest.mark.parametrize("page", api.pages())
def test_no_docstring_of_the_reference_keeps_its_columns(page: str) -> None:
    for name in re.findall(r"^::: (\S+)$", api.pages()[page], flags=re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        thing = getattr(importlib.import_module(module), attribute)
        text = inspect.getdoc(thing) if isinstance(thing, type | FunctionType) else ""
        shown = columns.with_sections(text or "", set()).partition("Args:")[0]
        assert re.findall(r"^[a-z_]+  +\S.*$", shown, flags=re.MULTILINE) == [], name


def test_all_that_mixdali_hands_out_is_in_the_reference() -> None:
    names = set(re.findall(r"^::: mixdali\.(\w+)$", api.pages()["api/mixdali.md"], flags=re.MULTILINE))
    assert names == set(api.handed_out("mixdali"))


def test_links_above_docs_lead_to_pages_of_the_site() -> None:
    assert build.of_docs("[a](../CONTRIBUTING.md#b)") == "[a](contributing.md#b)"
    assert build.of_root("[a](docs/methods.md), [b](CHANGELOG.md)") == "[a](methods.md), [b](changelog.md)"


def test_the_citation_is_of_this_version() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert version is not None
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_site_builds_without_a_warning() -> None:
    for package in ("material", "mkdocstrings_handlers.python", "latex2mathml"):
        pytest.importorskip(package, reason="make docs has the site's tools in an environment of its own")
    command = [sys.executable, str(DOCS / "building" / "build.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    pages = [page.read_text() for page in build.SITE.rglob("*.html")]
    fetched = [
        found for page in pages for found in re.findall(r'<(?:script|img|iframe)[^>]*src="?(https?:[^" >]*)', page)
    ]
    fetched += [
        found for page in pages for found in re.findall(r'<link[^>]*rel="?stylesheet[^>]*(https?:[^" >]*)', page)
    ]
    assert fetched == []
