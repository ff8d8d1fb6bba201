"""Expressions of command lines: what is read, that nothing is run, and that a mistake is shown at its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from mixdali import Choose, CutMix, Fixed, Mix, MixUp, Ramp
from pipelines.expressions import describe, fits, parse_mix, parse_number, parse_setting, read


@dataclass(frozen=True)
class Step:
    size: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Walk:
    steps: tuple[Step, ...]
    first: Step | None = None
    way: Literal["up", "down"] = "up"
    pair: tuple[int, int] = (0, 0)


WORDS: dict[str, type] = {"Step": Step, "Walk": Walk}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Step()", Step()),
        ("Step(8/255)", Step(8 / 255)),
        ("Step(size=2 * (1 - 0.5) / 4)", Step(0.25)),
        ("Step(size=-3)", Step(-3)),
        ("Walk(steps=[Step(1), Step(2)], first=None)", Walk(steps=(Step(1), Step(2)))),
        ("Walk(steps=(Step(1),), way='down', pair=[1, 2])", Walk(steps=(Step(1),), way="down", pair=(1, 2))),
        (" Walk(steps=(),\n first=Step()) ", Walk(steps=(), first=Step())),
        ("tests.Step()", Step()),
        ("None", None),
        ("[Step(), 3, 'a', True]", (Step(), 3, "a", True)),
    ],
)
def test_what_is_written_is_what_comes_back(text: str, value: Any) -> None:
    assert read(text, WORDS) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Stp()", "there is no Stp; nearest: Step, at character 1 of Stp()"),
        ("Walk(steps=[Stp()])", "there is no Stp; nearest: Step, at character 13 of Walk(steps=[Stp()])"),
        ("Walk(steps=[], frst=None)", "Walk has no setting 'frst'; nearest: first, at character 16 of Walk("),
        ("Walk(steps=Step())", "Walk: steps takes a list, each Step(...), got Step(), at character 12 of"),
        ("Walk(steps=[Walk(steps=[])])", "Walk: steps takes a list, each Step(...), got [Walk(steps=[])], at char"),
        ("Walk(steps=[], way='left')", "Walk: way takes 'up' or 'down', got 'left', at character 20 of"),
        ("Walk(steps=[], pair=(1, 2, 3))", "pair takes a list of 2 (a whole number), got (1, 2, 3), at char"),
        ("Walk()", "missing a required argument: 'steps'; its settings are steps, first, way, pair, by name"),
        ("Walk([])", "too many positional arguments; its settings are steps,"),
        ("Step(size=1, size=2)", "Step is given size twice, at character 14"),
        ("Step(size='ä', x=1)", "Step has no setting 'x'; there are: size, at character 16 of"),
        ("Step(size=True)", "size takes a number, got True"),
        ("Step(size=1/0)", "division by zero, at character 11 of"),
        ("Step(size=2**99)", "are read, got 2**99, at character 11 of"),
        ("Step(size='a' * 9)", "only numbers are reckoned with, got 'a', at character 11"),
        ("Step", "Step must be called: Step(...), in Step"),
        ("Step(**{})", "Step has no setting '**'"),
        ("Step(*[1])", "are read, got *[1]"),
        ("other.Step()", "there is no other.Step; nearest: Step"),
        ("Step().size", "there is no Step().size"),
        ("Step(", "'Step(' is not written as in Python: '(' was never closed, at character 5"),
        ("", "'' is not written as in Python"),
        ("1\x00", "is not written as in Python"),
        ("[" * 5000, "is not written as in Python"),
        ("none", "there is no none; nearest: None"),
    ],
)
def test_a_mistake_is_a_line_that_points_at_the_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read(text, WORDS)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch run')",
        "open('run', 'w')",
        "Step(size=[open('run', 'w')])",
        "(lambda: open('run', 'w'))()",
        "[open('run', 'w') for _ in '1']",
        'f\'{open("run", "w")}\'',
        "Step.__init__.__globals__",
        "(run := 1)",
    ],
)
def test_nothing_is_run(text: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"there is no|are read"):
        read(text, WORDS)
    assert list(tmp_path.iterdir()) == []


def test_what_is_wanted_is_named_and_so_is_what_may_stand_there() -> None:
    with pytest.raises(ValueError, match=r"^--first takes Step\(\.\.\.\) or None, got Walk\(steps=\[\]\), in Walk"):
        read("Walk(steps=[])", WORDS, Step | None, "--first")
    with pytest.raises(ValueError, match=r"mix takes a Mix \(Choose, CutMix, .*, MixUp, .*\), got Fixed\(0.5\)"):
        parse_mix("Fixed(0.5)")
    # what would fit is suggested before what is nearer by its letters
    with pytest.raises(ValueError, match=r"there is no Stepp; there are: Walk"):
        read("Stepp()", WORDS, Walk)


def test_what_a_class_refuses_is_shown_with_its_place() -> None:
    text = "Choose([MixUp(), CutMix(alpha=-1)])"
    with pytest.raises(
        ValueError, match=r"^CutMix: alpha must be a number above 0, got -1.*, at character 18 of Choose"
    ):
        parse_mix(text)


def test_mixes_settings_and_numbers_are_read_alike() -> None:
    text = "mixdali.Choose([MixUp(alpha=Fixed(1/2)), CutMix(alpha=Ramp([(0, .2), (9, 1)]))], weights=[1, 2])"
    mix = Choose([MixUp(alpha=Fixed(0.5)), CutMix(alpha=Ramp(((0, 0.2), (9, 1))))], weights=[1, 2])
    assert parse_mix(text) == mix
    assert [parse_setting(one) for one in ("0.2", "(2, 5)", "Fixed(0.3)")] == [0.2, (2, 5), Fixed(0.3)]
    assert [parse_number(one) for one in ("8/255", "-1e-3", "inf")] == [8 / 255, -1e-3, float("inf")]
    for wrong in ("fast", "1,2", "'1'", "None", ""):
        with pytest.raises(ValueError, match="is no number, such as"):
            parse_number(wrong)


@pytest.mark.parametrize(
    ("value", "hint", "holds"),
    [
        (1, float, True),
        (1.0, int, False),
        (True, int, False),
        (True, bool, True),
        ([1, 2], tuple[int, int], True),
        ((1, 2, 3), tuple[int, int], False),
        ((), tuple[int, ...], True),
        ((1, "a"), tuple[int, ...], False),
        ("up", Literal["up"], True),
        (None, int | None, True),
        (CutMix(), Mix, True),
        (3, Any, True),
        (3, Annotated[int, "with a note"], True),
        (3, "a name that is not known", True),
    ],
)
def test_values_are_held_against_annotations(value: Any, hint: Any, holds: bool) -> None:
    assert fits(value, hint) is holds


def test_types_are_described_for_people() -> None:
    assert describe(tuple[Step, ...] | None, WORDS) == "a list, each Step(...) or None"
    assert describe(float | tuple[float, float], {}) == "a number or a list of 2 (a number)"
    assert describe(Annotated[bool, ""], {}) == "True or False"
