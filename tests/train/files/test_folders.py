"""Which folder a run goes on in: threads, versions and devices change bytes, not the run, and nothing is silent."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.training import ALONE, TINY, coloured_sources
from train.files import checkpoint
from train.files.folders import Claim, RunFolder, claim_folder
from train.files.identity import compare
from train.files.plain import to_plain
from train.generator.settings import Settings
from train.loop.runner import INSTEAD, describe_run

RECIPE = replace(TINY, num_epochs=2)
FACTS = describe_run(RECIPE, coloured_sources(), ALONE)
IDENTITY = FACTS["identity"]
HERE = IDENTITY["versions"]


def claim(
    runs: Path, name: str = "a", asked: bool = False, exact: bool = False, resume: Path | None = None, **now: Any
) -> RunFolder:
    wanted = Claim(identity={**IDENTITY, **now}, settings=RECIPE, exact=exact, resume=resume, instead=INSTEAD)
    with claim_folder(runs, name, wanted, asked=asked) as folder:
        return folder


def leave(path: Path, finished: bool = False, facts: dict[str, Any] | None = None, **then: Any) -> Path:
    path.mkdir(parents=True)
    content = {**FACTS, "identity": {**IDENTITY, **then}, "finished": finished, **(facts or {})}
    checkpoint.save(path / "last.pt", content)
    return path


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"threads": 7}, f"{IDENTITY['threads']} thread"),
    ({"versions": {**HERE, "torch": "2.1.0"}}, f"torch {HERE['torch']} instead of 2.1.0"),
    ({"versions": {**HERE, "dali": "2.1.0"}}, f"DALI {HERE['dali']} instead of 2.1.0"),
    ({"versions": {**HERE, "mixdali": "0.0.1"}}, f"mixdali {HERE['mixdali']} instead of 0.0.1"),
    ({"device": "gpu", "hardware": "NVIDIA H100"}, "cpu instead of gpu"),
    ({"hardware": "NEON"}, "instead of NEON"),
]


@pytest.mark.parametrize(("then", "said"), CHANGES, ids=[said for _, said in CHANGES])
def test_what_only_makes_bytes_differ_lets_a_run_go_on_and_is_said(
    tmp_path: Path, then: dict[str, Any], said: str
) -> None:
    leave(tmp_path / "a", **then)
    for asked in (True, False):
        folder = claim(tmp_path, asked=asked)
        assert folder.resumes
        (note,) = folder.notes
        assert note.startswith("goes on with ")
        assert said in note
        assert "no longer equal to the byte to the run that was not stopped" in note
        with pytest.raises(ValueError, match=r"would go on with .* or leave out --exact") as error:
            claim(tmp_path, asked=asked, exact=True)
        assert said in str(error.value)


def test_several_changes_share_the_line(tmp_path: Path) -> None:
    leave(tmp_path / "a", threads=1, versions={"torch": "2.14"})
    (note,) = claim(tmp_path, threads=2, versions={"torch": "2.15"}).notes
    assert note.startswith("goes on with 2 threads instead of 1 and torch 2.15 instead of 2.14: no longer equal")


def test_the_same_circumstances_are_not_worth_a_word(tmp_path: Path) -> None:
    leave(tmp_path / "a")
    for exact in (True, False):
        folder = claim(tmp_path, exact=exact)
        assert (folder.resumes, folder.notes, folder.loose) == (True, (), ())
        assert folder.facts == {"changed": []}


def test_a_run_that_once_went_on_otherwise_is_never_exact_again(tmp_path: Path) -> None:
    leave(tmp_path / "a", threads=7)
    changed = claim(tmp_path).facts["changed"]
    assert len(changed) == 1
    leave(tmp_path / "b", facts={"changed": changed})
    assert claim(tmp_path, "b").facts == {"changed": changed}
    with pytest.raises(ValueError, match=r"went on with .* instead of 7.*no longer equal"):
        claim(tmp_path, "b", exact=True)


def test_the_folder_that_can_go_on_exactly_comes_first(tmp_path: Path) -> None:
    leave(tmp_path / "a", threads=7)
    leave(tmp_path / "a-2")
    assert claim(tmp_path).path.name == "a-2"
    assert claim(tmp_path, exact=True).path.name == "a-2"
    assert claim(tmp_path, threads=7).path.name == "a"
    assert claim(tmp_path, threads=9).path.name == "a"
    assert not (tmp_path / "a-3").exists()
    # Neither keeps other processes from the folders it did not take.
    wanted = Claim(identity=IDENTITY, settings=RECIPE)
    with claim_folder(tmp_path, "a", wanted, asked=False), open(tmp_path / "a" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_new_folder_says_why_in_one_line(tmp_path: Path) -> None:
    assert claim(tmp_path).notes == ()
    leave(tmp_path / "b", finished=True)
    leave(tmp_path / "b-2", lr=0.7)
    leave(tmp_path / "b-3").joinpath("last.pt").unlink()
    (tmp_path / "b-3" / "notes.txt").write_text("mine")
    leave(tmp_path / "b-4")
    with open(tmp_path / "b-4" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = claim(tmp_path, "b")
    assert folder.path.name == "b-5"
    (note,) = folder.notes
    b = tmp_path / "b"
    assert note == (
        f"{b}-5 is new: {b} is finished, {b}-2 is another run (lr 0.7, now 0.2), {b}-3 holds 'notes.txt' but no run, "
        "1 more are others"
    )
    (note,) = claim(tmp_path, "b", seed=3, asked=False).notes
    assert "seed 0, now 3" in note
    leave(tmp_path / "c", finished=True)
    (note,) = claim(tmp_path, "c", asked=True).notes
    assert note == f"{tmp_path / 'c'}-2 is new: {tmp_path / 'c'} is finished"


def test_many_finished_runs_share_one_reason(tmp_path: Path) -> None:
    for number in range(1, 6):
        leave(tmp_path / ("a" if number == 1 else f"a-{number}"), finished=True)
    (note,) = claim(tmp_path).notes
    assert note == f"{tmp_path / 'a-6'} is new: {tmp_path / 'a'} to {tmp_path / 'a-5'} are finished"


def test_what_is_of_another_command_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    stored = {"identity": {"networks": {"raw": "x"}, "processes": 1}, "processes": 1, "finished": False}
    checkpoint.save(tmp_path / "a" / "last.pt", stored)
    assert "a is another run (kind evaluation, now run)" in claim(tmp_path).notes[0]


def test_a_setting_that_a_newer_version_has_is_at_its_default_in_an_older_checkpoint(tmp_path: Path) -> None:
    older = {name: value for name, value in IDENTITY.items() if name not in ("compile", "ema_warmup", "auto")}
    older["optimizer"] = {name: value for name, value in older["optimizer"].items() if name != "momentum"}
    assert compare(older, IDENTITY, RECIPE).decisive == []
    (change,) = compare(older, {**IDENTITY, "compile": True}, RECIPE).decisive
    assert str(change) == "compile False, now True"
    now = to_plain(Settings())
    without = {name: value for name, value in now.items() if name != "flip"}
    assert compare({"settings": without}, {"settings": now}, Settings()).decisive == []


def test_the_words_of_older_checkpoints_are_understood() -> None:
    older = {"settings": {"type": "train.Settings"}, "device": "cuda", "torch": "2.6.0", "processes": 1}
    now = {"settings": {"type": "train.Settings"}, "device": "gpu", "versions": {"torch": "2.6.0"}, "processes": 1}
    assert (compare(older, now).decisive, compare(older, now).loose) == ([], [])
    assert compare(older | {"torch": "2.5.0"}, now).loose == ["torch 2.6.0 instead of 2.5.0"]


def test_a_precision_that_the_machine_chose_is_a_circumstance_and_one_that_was_asked_for_is_not() -> None:
    chosen = {**IDENTITY, "precision": "bfloat16", "auto": ["precision"]}
    now = {**IDENTITY, "auto": ["precision"]}
    assert compare(chosen, now).loose == ["float32 instead of bfloat16"]
    assert compare(chosen, now).decisive == []
    for then, today in ((chosen, IDENTITY), (IDENTITY | {"precision": "bfloat16"}, now)):
        assert [change.name for change in compare(then, today).decisive] == ["precision"]
    older = {name: value for name, value in chosen.items() if name != "auto"}
    assert compare(older, now).decisive == []


def test_a_checkpoint_elsewhere_begins_a_folder_and_the_same_command_goes_on_there(tmp_path: Path) -> None:
    path = leave(tmp_path / "old" / "a") / "last.pt"
    before = path.read_bytes()
    for resume in (path, path.parent):
        folder = claim(tmp_path / "runs", resume=resume)
        assert (folder.path.name, folder.start, folder.resumes) == ("a", path, False)
    leave(tmp_path / "runs" / "b", facts=folder.facts)
    again = claim(tmp_path / "runs", "b", asked=True, resume=path)
    assert again.resumes
    assert again.facts == folder.facts
    assert path.read_bytes() == before


def test_a_folder_that_holds_a_run_is_no_place_for_a_checkpoint_from_elsewhere(tmp_path: Path) -> None:
    path = leave(tmp_path / "old" / "a") / "last.pt"
    leave(tmp_path / "runs" / "a")
    with pytest.raises(ValueError, match=r"runs/a holds a run already; --resume needs a folder of its own"):
        claim(tmp_path / "runs", asked=True, resume=path)
    folder = claim(tmp_path / "runs", resume=path)
    assert folder.path.name == "a-2"
    assert folder.notes == (f"{folder.path} is new: {tmp_path / 'runs' / 'a'} holds a run already",)


@pytest.mark.parametrize(
    ("then", "finished", "now", "message"),
    [
        (
            {"num_epochs": 7},
            False,
            {},
            r"another run \(num_epochs 7, now 2\).*own settings; --weights starts a new run",
        ),
        ({}, True, {"num_epochs": 7}, r"another run \(num_epochs 2, now 7\)"),
        ({}, True, {}, "is of a finished run, there is nothing left"),
        ({"processes": 4}, False, {"exact": True}, "would go on with 1 process instead of 4"),
        ({"threads": 7}, False, {"exact": True}, "would go on with .* instead of 7"),
    ],
)
def test_a_checkpoint_that_cannot_be_gone_on_with_is_refused(
    tmp_path: Path, then: dict[str, Any], finished: bool, now: dict[str, Any], message: str
) -> None:
    path = leave(tmp_path / "old", finished=finished, **then)
    with pytest.raises(ValueError, match=message):
        claim(tmp_path / "runs", resume=path, **now)
    assert list((tmp_path / "runs").glob("*/*.pt")) == []


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty holds no last\.pt"):
        claim(tmp_path / "runs", resume=tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist"):
        claim(tmp_path / "runs", resume=tmp_path / "none.pt")
