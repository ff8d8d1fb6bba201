"""Files in which somebody writes recipes, with mixes, objectives and networks of their own.

They are read as text first. Only a text that is outlined as a recipe file is run, and only if it was named, or if a
checkpoint remembers this very file.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import tyro

from train.files.outline import Outline, outline_recipes
from train.files.plain import OWN, PACKAGES

PROJECT = Path(__file__).parents[2]

NamedFile = Annotated[
    Path | None,
    tyro.conf.arg(
        help="The recipe file, for a checkpoint of a recipe of one's own. None: the file it was trained by, as long as "
        "it lies where it lay and has not changed."
    ),
]


@dataclass(frozen=True, eq=False)
class RecipeFile:
    """A file that was run."""

    path: Path
    outline: Outline
    names: Mapping[str, Any]
    """What it defines and imports, by name."""
    digests: Mapping[str, str]
    """The sha256 of it, and of the modules of one's own that it imports, by absolute path."""

    @property
    def parts(self) -> dict[str, type]:
        """The classes, by name, that its recipes may be made of."""
        return {name: value for name, value in self.names.items() if _is_own_part(value)}

    @property
    def digest(self) -> str:
        """Twelve characters that tell its code."""
        return hashlib.sha256("".join(self.digests.values()).encode()).hexdigest()[:12]

    def remembered(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"path": str(self.path), "digests": dict(self.digests)}


def read_recipe_file(path: Path) -> RecipeFile:
    """Run a recipe file, with its folder as the first place of imports, as Python does for a script.

    The same text in the same place is run once in a process.

    Raises:
        FileNotFoundError, ValueError: there is none, or something is wrong in it; one line with file and line.
    """
    outline = outline_recipes(path)
    path = path.resolve()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"recipe_file_{hashlib.sha256(f'{path}{digest}'.encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        sys.modules[name] = module = ModuleType(name)  # where annotations that are texts are looked up
        module.__file__ = str(path)
        try:
            exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise ValueError(_mistake(error, path)) from error
    module = sys.modules[name]
    digests = {str(file): _digest(file) for file in _with_imports(module)}
    names = {key: value for key, value in vars(module).items() if not key.startswith("__")}
    return RecipeFile(path, outline, names, digests)


def file_of(
    checkpoint: Path, content: Mapping[str, Any], wanted: Any, named: Path | None, tell: Callable[[str], None]
) -> RecipeFile | None:
    """The recipe file that what a checkpoint holds has to be built with; None if there is nothing of one's own in it.

    Args:
        checkpoint: its file, for messages.
        content: of it.
        wanted: what is to be built, in plain values.
        named: the file that the user names.
        tell: is told in one line which file is run, before it is.

    Raises:
        FileNotFoundError, ValueError: no file is named and the remembered one is not there as it was.
    """
    own = sorted(own_names(wanted))
    if not own:
        if named is not None:
            tell(f"nothing of {named} is needed for {checkpoint}, so it is not read")
        return None
    if named is None:
        named = _unchanged(f"{checkpoint} is made with {own[0]} of", content.get("recipe_file"))
    tell(f"{', '.join(own)} of {checkpoint}: read from {named.resolve()}")
    return read_recipe_file(named)


def own_names(plain: Any) -> set[str]:
    """The names of a recipe file that plain settings speak of: `own.Blend`, and `own:small_net` for a network."""
    if isinstance(plain, dict):
        kind = plain.get("type")
        found = {kind} if isinstance(kind, str) and kind.startswith(f"{OWN}.") else set()
        return found.union(*map(own_names, plain.values()))
    if isinstance(plain, list | tuple):
        return set().union(*map(own_names, plain))
    return {plain.partition("(")[0]} if isinstance(plain, str) and plain.startswith(f"{OWN}:") else set()


def place_in_file(error: BaseException, path: Path) -> str | None:
    """Where an error left a recipe file, or one that lies with it: `mine.py, line 3`; None if it was not there."""
    folder = path.resolve().parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if folder in Path(frame.filename).parents]
    own = [frame for frame in frames if _is_own_file(Path(frame.filename))]
    return f"{_shown(own[-1].filename)}, line {own[-1].lineno}" if own else None


def _unchanged(start: str, remembered: Any) -> Path:
    """The file that a checkpoint remembers, if it is what it was and a recipe file."""
    if not isinstance(remembered, dict) or not isinstance(remembered.get("path"), str):
        raise ValueError(f"{start} a recipe file, and does not say which; pass --recipe_file FILE")
    path, digests = Path(remembered["path"]), remembered.get("digests")
    if not isinstance(digests, dict) or str(path) not in digests:
        raise ValueError(f"{start} {path}, and does not say what it was; pass --recipe_file FILE")
    for file, digest in digests.items():
        if not Path(file).is_file():
            raise FileNotFoundError(f"{start} {path}, but {file} is not there any more; pass --recipe_file FILE")
        if _digest(Path(file)) != digest:
            raise ValueError(
                f"{start} {path}, but {file} has changed since; pass --recipe_file {path} to take it as it is now"
            )
    outline_recipes(path)
    return path


def _is_own_part(value: Any) -> bool:
    package = getattr(value, "__module__", "").partition(".")[0]
    return isinstance(value, type) and dataclasses.is_dataclass(value) and package not in PACKAGES


def _with_imports(module: ModuleType) -> list[Path]:
    """The file of a module, and those of what it imports and of what that imports: of people's own modules alone."""
    found = {module.__name__: Path(str(module.__file__))}
    left = [module]
    while left:
        for name in _imported(left.pop()):
            other = sys.modules.get(name)
            file = getattr(other, "__file__", None)
            if other is not None and name not in found and file is not None and _is_own_file(Path(file)):
                found[name] = Path(file)
                left.append(other)
    first, *others = found.values()
    return [first, *sorted(set(others) - {first})]


def _imported(module: ModuleType) -> set[str]:
    """The modules, and perhaps other names, that a module's text imports."""
    found = set()
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = f"{'.' * node.level}{node.module or ''}"
            base = resolve_name(start, module.__package__) if node.level else start
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def _is_own_file(path: Path) -> bool:
    """Whether it is neither Python's own, nor installed, nor of this project."""
    folders = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "platstdlib")]
    folders += [PROJECT / name for name in ("mixdali", "pipelines", "train")]
    installed = any(part in ("site-packages", "dist-packages") for part in path.parts)
    return path.suffix == ".py" and not installed and not any(folder in path.parents for folder in folders)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _mistake(error: BaseException, path: Path) -> str:
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{_shown(error.filename or str(path))}, line {error.lineno}: {error.msg}"
    return f"{place_in_file(error, path) or path}: {text}"


def _shown(file: str) -> str:
    """A path as short as it can be from here."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
