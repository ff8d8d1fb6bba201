"""What a study is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mixdali.checks import one_of, require
from mixdali.names import nearest

OF_RUN = "run"
OF_CERTIFICATES = "certify"
TRAINER = "train"
LAST: Final = "last"
BEST: Final = "best"
LOST: Final = "best - last"


@dataclass(frozen=True)
class Measure:
    """A number of every run.

    part    a part of `python -m train.evaluate`, or of another program's numbers.json; or "run": what `python -m
            train.compare` shows of a run; or "certify": what `python -m train.certify` says of it.
    keys    where it stands below the network in evaluate.json, such as ("white", "0.05"), or in certificates.json; of
            "run" one column's name. "abstention|softmax" is the first of these that is there.
    better  which direction is the better one.
    shown   "percent" for shares of 1, "points" for differences of two shares, else "number".
    of      which of the run's checkpoints is measured; "best - last": by how much the best epoch's is above the last
            one's. What chose the best epoch are other images than those that are measured here.
    everywhere  all arms have it. False, of "run" only: one without it has no number, as one without wrong labels.
    """

    part: str
    keys: tuple[str, ...]
    better: Literal["higher", "lower"] = "higher"
    shown: Literal["percent", "points", "number"] = "percent"
    of: Literal["last", "best", "best - last"] = LAST
    everywhere: bool = True

    def __post_init__(self) -> None:
        one_of("Measure: of", self.of, (LAST, BEST, LOST))
        if self.of != LAST and self.part in (OF_RUN, OF_CERTIFICATES):
            raise ValueError(f"Measure: of={self.of!r} is for what train.evaluate measures, not for {self.part!r}")
        if not self.everywhere and self.part != OF_RUN:
            raise ValueError(f"Measure: everywhere=False is for what a run says of itself, not for {self.part!r}")
        one_of("Measure: better", self.better, ("higher", "lower"))
        one_of("Measure: shown", self.shown, ("percent", "points", "number"))
        if self.of == LOST and self.shown == "percent":
            raise ValueError(f'Measure: shown must be "points" or "number" of {LOST!r}, which is no share')
        require(bool(self.keys), "Measure: keys", self.keys, "must say where the number stands")

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Those that are evaluated for it; of two, the second one's number is taken from the first one's."""
        return (BEST, LAST) if self.of == LOST else (self.of,)


@dataclass(frozen=True)
class Arm:
    """One line of the table.

    recipe     the words after `python -m train`: "zhang2017mixup small", or a recipe file of one's own.
    overrides  further words: "--objective.alpha 0.4".
    attack     where the recipe's objective has the attack of its training, for `{attack}` in a scale's words.
    program    another command in place of the trainer, which leaves a numbers.json (train.study.numbers) and is not
               evaluated: "train.tables", whose words `recipe` then has.
    """

    recipe: str
    overrides: str = ""
    program: str = TRAINER
    attack: str = "objective.attack"


@dataclass(frozen=True)
class Scale:
    """How much work a study is.

    overrides  of every arm, before its own: "--num_images 5000 --num_epochs 40"; `--{attack}.num_steps 3` is of the
               attack in training, wherever the arm's objective has it.
    evaluate   of every evaluation: "--num_images 2000".
    certify    of every certification, where something of it is measured: "--num_images 200 --n 1000".
    seeds      of the runs of each arm; a seed decides the weights, the order and all draws, so that arms of one seed
               are paired.
    chosen     how the setting was found, before the seeds were drawn.
    """

    overrides: str = ""
    evaluate: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    chosen: str = ""
    certify: str = ""

    def __post_init__(self) -> None:
        require(
            bool(self.seeds) and len(set(self.seeds)) == len(self.seeds),
            "Scale: seeds",
            self.seeds,
            "must be different, and one at least",
        )


@dataclass(frozen=True)
class Expected:
    """A claim, as one arm being better than another in one measure; or as good as it.

    paper   its arXiv number; "" for a claim of our own.
    claim   in the paper's sense, in our words.
    within  the two are alike: they differ by less than this, in the measure's unit (0.02: two points of a share).
    against the measure of `than`, where it is another one: two numbers of a run against each other.
    """

    paper: str
    claim: str
    arm: str
    measure: str
    than: str
    within: float | None = None
    against: str = ""

    def __post_init__(self) -> None:
        require(self.within is None or self.within > 0, "Expected: within", self.within, "must be above 0, or None")


@dataclass(frozen=True, kw_only=True)
class Study:
    """question   what it is to show, in a sentence.
    arms       by the names of the table's lines.
    reference  the arm that the others are compared with.
    measures   by the names of the table's columns.
    scales     by name; "cpu" runs on two cores.
    expected   claims that it tests.
    """

    question: str
    arms: Mapping[str, Arm]
    reference: str
    measures: Mapping[str, Measure]
    scales: Mapping[str, Scale]
    expected: tuple[Expected, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.reference, *(one for claim in self.expected for one in (claim.arm, claim.than))):
            _known("arm", name, self.arms)
        for claim in self.expected:
            _known("measure", claim.measure, self.measures)
            _known("measure", claim.against or claim.measure, self.measures)
        others = [arm.program for arm in self.arms.values() if arm.program != TRAINER]
        of_runs = [name for name, measure in self.measures.items() if measure.part in (OF_RUN, OF_CERTIFICATES)]
        if others and of_runs:
            raise ValueError(f"measure {of_runs[0]!r} is of a run of python -m train, and {others[0]} makes none")
        require(bool(self.scales), "Study: scales", "none", "must be one at least")
        require(bool(self.measures), "Study: measures", "none", "must be one at least")

    def scale(self, name: str) -> Scale:
        """ValueError, with the scales that there are, if there is none of this name."""
        _known("scale", name, self.scales)
        return self.scales[name]


def _known(kind: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise ValueError(f"the study has no {kind} {name!r}; {nearest(name, list(known))}")
