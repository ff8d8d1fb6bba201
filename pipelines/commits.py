"""The commit that code is at, as git tells it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import mixdali

SECONDS = 10
PACKAGE = Path(mixdali.__file__).parent
# What makes git look into another repository than that of the folder it is asked about, as in a hook of it.
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")


@dataclass(frozen=True)
class Commit:
    """A commit, and whether files that git knows differ from it."""

    number: str
    """40 hex digits."""
    changed: bool

    def __str__(self) -> str:
        return self.number[:12] + (", with changes" if self.changed else "")


def commit_of(folder: str | os.PathLike[str]) -> Commit | None:
    """The commit of the repository that a folder lies in; None where git knows of none."""
    try:
        number = _git(folder, "rev-parse", "HEAD")
        return Commit(number, bool(_git(folder, "status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.SubprocessError):
        return None


def own_commit(package: Path = PACKAGE) -> Commit | None:
    """The commit of a package that runs from its own checkout, mixdali's unless told.

    None for one that is installed: a repository around it that does not hold its files at its top is another project's.
    """
    try:
        top = Path(_git(package.parent, "rev-parse", "--show-toplevel"))
        _git(package, "ls-files", "--error-unmatch", "__init__.py")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit_of(package) if top.resolve() == package.parent.resolve() else None


def _git(folder: str | os.PathLike[str], *words: str) -> str:
    around = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    command = ["git", "-C", os.fspath(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True, env=around)
    return done.stdout.strip()
