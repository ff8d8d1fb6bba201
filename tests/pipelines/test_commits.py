"""Whose commit is told: that of a checkout, and never that of a repository around an installed package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.commits import PACKAGE, commit_of, own_commit

USER = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in USER.items():
        monkeypatch.setenv(name, value)


def repository(folder: Path, *packages: str) -> Path:
    """A repository that holds these packages."""
    for package in packages:
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "--allow-empty", "-m", "all"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def test_a_package_in_its_own_checkout_has_its_commit(tmp_path: Path) -> None:
    package = repository(tmp_path, "mixdali") / "mixdali"
    found = own_commit(package)
    assert found is not None
    assert found == commit_of(tmp_path)
    assert len(found.number) == 40
    assert str(found) == found.number[:12]
    (package / "__init__.py").write_text("changed = True\n")
    assert str(own_commit(package)) == f"{found.number[:12]}, with changes"


@pytest.mark.parametrize("place", ["", "lib/site-packages"])
def test_a_package_that_is_installed_into_a_repository_has_not_that_one_s(tmp_path: Path, place: str) -> None:
    package = repository(tmp_path, "theirs") / place / "mixdali"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    assert commit_of(package) is not None
    assert own_commit(package) is None


def test_a_package_that_another_project_holds_among_its_own_has_not_that_one_s(tmp_path: Path) -> None:
    assert own_commit(repository(tmp_path, "vendor/mixdali") / "vendor" / "mixdali") is None


def test_a_hook_of_another_repository_changes_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = repository(tmp_path / "own", "mixdali"), repository(tmp_path / "other", "theirs")
    subprocess.run(["git", "-C", str(other), "commit", "-q", "--allow-empty", "-m", "one more"], check=True)
    before = commit_of(own)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert commit_of(own) == own_commit(own / "mixdali") == before


def test_where_git_knows_nothing_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit_of(tmp_path) is None
    assert commit_of(tmp_path / "nowhere") is None
    assert own_commit(tmp_path / "mixdali") is None
    monkeypatch.setenv("PATH", "")
    assert own_commit(PACKAGE) is None
