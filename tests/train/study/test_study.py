"""A study does what is missing, once, and its numbers, intervals and words follow from what its commands left."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from train.certify.settings import Arguments as Certifying
from train.compare.run import BEST, COLUMNS, derived
from train.study import results
from train.study import run as command
from train.study.declare import OF_RUN, Arm, Expected, Measure, Scale, Study
from train.study.numbers import claim, write_numbers
from train.study.report import contents, markdown, write_report
from train.study.results import Difference, judge, paired, read_numbers
from train.study.work import Done, Job, jobs_of, work_off

SEEDS = (0, 1, 2)
# accuracy by arm and seed
REACHED = {"plain": (0.50, 0.60, 0.55), "mixed": (0.54, 0.65, 0.585), "noisy": (0.40, 0.70, 0.55)}
STUDY = Study(
    question="Which is best?",
    arms={name: Arm(f"{name} small", "--lr 0.1") for name in REACHED},
    reference="plain",
    measures={
        "accuracy": Measure("clean", ("accuracy",)),
        "noise": Measure("noise", ("white", "0.05"), "lower", "number"),
    },
    scales={"cpu": Scale("--num_epochs 2", "--num_images 10", SEEDS, "Chosen so that it is quick.")},
    expected=(
        Expected("1", "mixed is better", "mixed", "accuracy", "plain"),
        Expected("2", "noisy is better", "noisy", "accuracy", "plain"),
        Expected("3", "plain is better than mixed", "plain", "accuracy", "mixed"),
    ),
)


class Commands:
    """Stands for the trainer: it leaves what training and evaluating would, and counts."""

    def __init__(self, runs: Path, failing: Sequence[str] = ()) -> None:
        self.runs, self.failing, self.done = runs, failing, list[str]()

    def __call__(self, words: Sequence[str], log: Path, variables: Mapping[str, str]) -> int:
        self.done.append(shlex.join(words))
        if any(word in self.failing for word in words):
            log.write_text("much\nerror: the disk is full\n")
            return 2
        if words[0] == "train":
            assert words[3:7] == ["--num_epochs", "2", "--lr", "0.1"]
            folder = Path(words[words.index("--folder") + 1], words[words.index("--name") + 1])
            folder.mkdir(parents=True)
            (folder / "last.pt").touch()
            return 0
        folder = Path(words[1])
        is_best = folder.name == "best.pt"
        folder = folder.parent if is_best else folder
        arm = folder.name.split("-")
        accuracy = REACHED[arm[0]][int(arm[1])]
        found = {"accuracy": accuracy}
        parts = {
            "clean": {"raw": {"accuracy": 0.0}, "averaged": found},
            "noise": {"raw": {"white": {"0.05": accuracy}}},
        }
        if is_best:
            parts = {"clean": {"averaged": {"accuracy": 1 - accuracy}}}
        place = folder / f"evaluate-{'best' if is_best else 'last'}"
        place.mkdir()
        (place / "evaluate.json").write_text(json.dumps({"parts": parts}))
        return 0


def planned(folder: Path, study: Study = STUDY) -> list[Job]:
    return jobs_of(study, study.scale("cpu"), "CIFAR", folder / "runs")


def worked(folder: Path, *, failing: Sequence[str] = (), study: Study = STUDY) -> tuple[list[str], Commands]:
    commands = Commands(folder / "runs", failing)
    done = Done(folder / "done.json")
    return work_off(planned(folder, study), done, folder / "runs", 2, lambda text: None, commands), commands


def test_what_was_done_is_not_done_again_and_what_is_lost_is(tmp_path: Path) -> None:
    failed, first = worked(tmp_path)
    assert not failed
    assert len(first.done) == len(set(first.done)) == 2 * len(SEEDS) * len(REACHED)
    assert worked(tmp_path)[1].done == []
    lost = planned(tmp_path)[4]
    lost.products(tmp_path / "runs")[1].unlink()
    lost.products(tmp_path / "runs")[1].parent.rmdir()
    assert worked(tmp_path)[1].done == [shlex.join(lost.commands[1])]


def test_a_changed_arm_is_run_anew_beside_the_old_one(tmp_path: Path) -> None:
    worked(tmp_path)
    changed = replace(STUDY, arms={**STUDY.arms, "mixed": Arm("mixed small", "--lr 0.1 --num_epochs 3")})
    assert len(worked(tmp_path, study=changed)[1].done) == 2 * len(SEEDS)
    assert len(list((tmp_path / "runs").glob("mixed-0-*"))) == 2


def test_a_run_that_fails_stops_no_other_and_is_told_in_a_line(tmp_path: Path) -> None:
    failed, commands = worked(tmp_path, failing=["noisy"])
    assert len(failed) == len(SEEDS)
    assert "noisy, seed 0: code 2, error: the disk is full; all that it said is in" in failed[0]
    assert len(commands.done) == 2 * 2 * len(SEEDS) + len(SEEDS)
    assert len(worked(tmp_path)[1].done) == 2 * len(SEEDS)


def test_numbers_intervals_and_verdicts_follow_from_the_runs(tmp_path: Path) -> None:
    worked(tmp_path)
    jobs = planned(tmp_path)
    numbers = read_numbers(STUDY, jobs, Done(tmp_path / "done.json"), tmp_path / "runs")
    for arm, reached in REACHED.items():
        assert numbers["accuracy"][arm] == dict(enumerate(reached))
    found = paired(numbers["accuracy"]["mixed"], numbers["accuracy"]["plain"])
    # differences 0.04, 0.05, 0.035: mean 0.041667, deviation 0.0076376, and t of 2 degrees of freedom is 4.30265
    assert found is not None
    assert found.low is not None
    assert math.isclose(found.mean, 0.125 / 3)
    assert math.isclose(found.mean - found.low, 4.30265 * 0.0076376 / math.sqrt(3), rel_tol=1e-4)
    assert [judge(claim, STUDY, numbers)[0] for claim in STUDY.expected] == ["holds", "not resolved", "does not hold"]
    assert paired({0: 0.5}, {0: 0.4, 1: 0.3}) == Difference(pytest.approx(0.1), None, None)
    assert paired({0: 0.5}, {1: 0.3}) is None


def test_pairs_that_all_differ_by_one_image_resolve_nothing(tmp_path: Path) -> None:
    jobs, scale = planned(tmp_path), STUDY.scale("cpu")
    reached = {"plain": (0.144, 0.152, 0.14), "mixed": (0.148, 0.156, 0.144), "noisy": (0.1, 0.1, 0.1)}
    numbers = {name: {arm: dict(enumerate(values)) for arm, values in reached.items()} for name in STUDY.measures}
    assert judge(STUDY.expected[0], STUDY, numbers)[0] == "not resolved"
    text = markdown(contents("toy", STUDY, scale, jobs, numbers, {}))
    assert "mixed against plain, accuracy: +0.4 [no interval]" in text
    assert "| noisy | 10.0 ± 0.0 [no interval] | 0.100 ± 0.000 [no interval] |" in text


@pytest.mark.parametrize(
    ("arm", "within", "verdict"),
    [
        # the difference and its interval: 0.0417 [0.0227, 0.0606], of noisy 0.0000 [-0.2484, 0.2484]
        ("mixed", 0.07, "holds"),
        ("mixed", 0.05, "not resolved"),
        ("mixed", 0.02, "does not hold"),
        ("noisy", 0.07, "not resolved"),
    ],
)
def test_two_are_alike_where_the_whole_interval_is_small(arm: str, within: float, verdict: str, tmp_path: Path) -> None:
    worked(tmp_path)
    numbers = read_numbers(STUDY, planned(tmp_path), Done(tmp_path / "done.json"), tmp_path / "runs")
    for one, other in ((arm, "plain"), ("plain", arm)):
        assert judge(Expected("", "alike", one, "accuracy", other, within), STUDY, numbers)[0] == verdict


def test_the_report_says_first_what_does_not_hold_and_how_each_number_was_made(tmp_path: Path) -> None:
    worked(tmp_path)
    jobs, scale = planned(tmp_path), STUDY.scale("cpu")
    numbers = read_numbers(STUDY, jobs, Done(tmp_path / "done.json"), tmp_path / "runs")
    content = contents("toy", STUDY, scale, jobs, numbers, {"commit": "abc"})
    for path in write_report(tmp_path, content):
        assert path.stat().st_size
    assert json.loads((tmp_path / "study.json").read_text()) == json.loads(json.dumps(content))
    text = markdown(content)
    places = [text.index(f"**{verdict}**") for verdict in ("does not hold", "not resolved", "holds")]
    assert places == sorted(places)
    assert "| mixed | 59.2 ± 5.5 [45.4, 72.9] | 0.592 ± 0.055 [0.454, 0.729] |" in text
    assert "|  | +4.2 [+2.3, +6.1] | +0.042 [+0.023, +0.061] |" in text
    assert all(job.texts[0] in text for job in jobs[: len(REACHED)])
    assert scale.chosen in text


def test_the_best_epoch_is_evaluated_where_it_is_asked_for(tmp_path: Path) -> None:
    both = {
        "best": Measure("clean", ("accuracy",), of="best"),
        "best - last": Measure("clean", ("accuracy",), shown="points", of="best - last"),
    }
    study = replace(STUDY, measures=both, expected=())
    failed, commands = worked(tmp_path, study=study)
    assert failed == []
    runs = tmp_path / "runs"
    jobs = planned(tmp_path, study)
    first = jobs[0]
    assert first.commands[1][:2] == ["train.evaluate", str(runs / first.name)]
    assert first.commands[2][:2] == ["train.evaluate", str(runs / first.name / "best.pt")]
    assert len(commands.done) == 27
    numbers = read_numbers(study, jobs, Done(tmp_path / "done.json"), runs)
    assert numbers["best"]["mixed"] == pytest.approx({seed: 1 - REACHED["mixed"][seed] for seed in SEEDS})
    assert numbers["best - last"]["mixed"] == pytest.approx({seed: 1 - 2 * REACHED["mixed"][seed] for seed in SEEDS})
    # mixed loses -0.08, -0.30 and -0.17: an interval of differences, which no share's bounds cut
    text = markdown(contents("toy", study, study.scale("cpu"), jobs, numbers, {}))
    assert "| mixed | 40.8 ± 5.5 [27.1, 54.6] | -18.3 ± 11.1 [-45.8, 9.1] |" in text
    alone = planned(tmp_path, replace(study, measures={"best": both["best"]}))[0]
    assert [command[0] for command in alone.commands] == ["train", "train.evaluate"]
    with pytest.raises(ValueError, match=r"is for what train.evaluate measures, not for 'run'"):
        Measure("run", ("accuracy",), shown="points", of="best")
    with pytest.raises(ValueError, match=r'shown must be "points" or "number" of \'best - last\', which is no share'):
        Measure("clean", ("accuracy",), of="best - last")


def test_a_run_may_lack_what_it_alone_can_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = {"wrong": Measure("run", ("training, wrong labels",), "lower", everywhere=False)}
    study = replace(STUDY, measures=measures, expected=(Expected("1", "fewer", "mixed", "wrong", "noisy"),))
    worked(tmp_path, study=study)

    def read(path: Path) -> SimpleNamespace:
        return SimpleNamespace(numbers={} if path.name.startswith("plain") else {"training, wrong labels": 0.25})

    monkeypatch.setattr(results, "read_run", read)
    numbers = read_numbers(study, planned(tmp_path, study), Done(tmp_path / "done.json"), tmp_path / "runs")
    assert numbers["wrong"] == {"plain": {}, "mixed": dict.fromkeys(SEEDS, 0.25), "noisy": dict.fromkeys(SEEDS, 0.25)}
    content = contents("mine, scale cpu", study, study.scale("cpu"), planned(tmp_path, study), numbers, {})
    assert "plain" not in content["measures"]["wrong"]["arms"]
    write_report(tmp_path, content)
    with pytest.raises(ValueError, match="everywhere=False is for what a run says of itself, not for 'clean'"):
        Measure("clean", ("accuracy",), everywhere=False)


def test_words_of_the_attack_go_where_an_arm_has_it(tmp_path: Path) -> None:
    arms = {
        "plain": Arm("madry2018towards small"),
        "deep": Arm("wu2020adversarial small", attack="objective.objective.attack"),
    }
    scale = Scale("--{attack}.num_steps 3")
    jobs = jobs_of(replace(STUDY, arms=arms, expected=()), replace(scale, seeds=(0,)), None, tmp_path)
    assert [job.train[2] for job in jobs] == ["--objective.attack.num_steps", "--objective.objective.attack.num_steps"]


def test_what_is_certified_is_a_command_of_its_own_and_its_numbers_are_read(tmp_path: Path) -> None:
    measures = {**STUDY.measures, "radius": Measure("certify", ("average_certified_radius",), shown="number")}
    scale = replace(STUDY.scale("cpu"), certify="--n 1000")
    study = replace(STUDY, measures=measures, scales={"cpu": scale})
    jobs, runs = planned(tmp_path, study), tmp_path / "runs"
    done = Done(tmp_path / "done.json")
    for job in jobs:
        assert [command[0] for command in job.commands] == ["train", "train.evaluate", "train.certify"]
        folder = str(runs / job.name)
        assert job.certify == (folder, "--root", "CIFAR", "--folder", folder, "--name", "certify", "--n", "1000")
        told = {"parts": {"clean": {"averaged": {"accuracy": 0.5}}, "noise": {"raw": {"white": {"0.05": 0.5}}}}}
        contents_of = ("", json.dumps(told), json.dumps({"average_certified_radius": 0.2 + job.seed}))
        for path, text in zip(job.products(runs), contents_of, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for text in job.texts:
            done.add(text)
    numbers = read_numbers(study, jobs, done, runs)
    assert numbers["radius"]["plain"] == {0: 0.2, 1: 1.2, 2: 2.2}
    assert numbers["accuracy"]["plain"][0] == 0.5


def test_one_seed_has_no_interval_and_resolves_nothing(tmp_path: Path) -> None:
    study = replace(STUDY, scales={"cpu": replace(STUDY.scale("cpu"), seeds=(1,))})
    worked(tmp_path, study=study)
    jobs = planned(tmp_path, study)
    numbers = read_numbers(study, jobs, Done(tmp_path / "done.json"), tmp_path / "runs")
    assert {judge(claim, study, numbers)[0] for claim in study.expected} == {"not resolved"}
    text = markdown(contents("toy", study, study.scale("cpu"), jobs, numbers, {}))
    assert "One seed, 1, so that nothing can be said of chance" in text
    assert "+5.0 [no interval]" in text


def test_mistakes_get_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no study 'mixin'; nearest: mixing"):
        command.main(["mixin"])
    with pytest.raises(ValueError, match="the study has no scale 'gpu'; nearest: cpu, gpu-hour"):
        command.main(["mixing", "--scale", "gpu"])
    with pytest.raises(FileNotFoundError, match="there is no file"):
        command.main([str(tmp_path / "my.py")])
    (tmp_path / "my.py").write_text("STUDY = 3\n")
    with pytest.raises(ValueError, match="sets no STUDY"):
        command.main([str(tmp_path / "my.py")])
    with pytest.raises(ValueError, match="the study has no measure 'speed'"):
        replace(STUDY, expected=(Expected("1", "fast", "mixed", "speed", "plain"),))
    with pytest.raises(ValueError, match="Expected: within must be above 0"):
        Expected("", "alike", "mixed", "accuracy", "plain", within=0.0)
    worked(tmp_path)
    wrong = replace(STUDY, measures={"x": Measure("clean", ("accurracy",))}, expected=())
    with pytest.raises(ValueError, match="measure 'x': clean has no 'accurracy', there is accuracy"):
        read_numbers(wrong, planned(tmp_path), Done(tmp_path / "done.json"), tmp_path / "runs")


def test_an_arm_may_be_another_program_that_leaves_its_own_numbers(tmp_path: Path) -> None:
    study = replace(
        STUDY,
        arms={"plain": Arm("iris", program="train.tables"), "mixed": Arm("iris", "--lr 1", program="train.tables")},
        measures={"accuracy": Measure("iris", ("accuracy",))},
        expected=(),
    )

    def run(words: Sequence[str], log: Path, variables: Mapping[str, str]) -> int:
        assert words[:4] == ["train.tables", "iris", "--num_epochs", "2"]
        folder = tmp_path / "runs" / words[words.index("--name") + 1]
        write_numbers(claim(folder.parent, folder.name, "", {}), {"iris": {"last": {"accuracy": 0.75}}})
        return 0

    jobs, done = jobs_of(study, study.scale("cpu"), None, tmp_path / "runs"), Done(tmp_path / "done.json")
    assert [len(job.commands) for job in jobs] == [1] * 6
    assert work_off(jobs, done, tmp_path / "runs", 1, lambda text: None, run) == []
    assert read_numbers(study, jobs, done, tmp_path / "runs")["accuracy"]["mixed"] == {0: 0.75, 1: 0.75, 2: 0.75}
    wrong = replace(study, measures={"accuracy": Measure("wine", ("accuracy",))})
    with pytest.raises(ValueError, match="has no part 'wine', there is iris"):
        read_numbers(wrong, jobs, done, tmp_path / "runs")
    with pytest.raises(
        ValueError, match=r"measure 'robust' is of a run of python -m train, and train.tables makes none"
    ):
        replace(study, measures={"robust": Measure("run", ("robust, best",))})


@pytest.mark.parametrize("name", command.names())
def test_every_study_is_made_of_commands_that_are_read(name: str, tmp_path: Path) -> None:
    from train.cli.main import choose_recipe, split_words
    from train.cli.overrides import parse_overrides
    from train.evaluate.settings import Arguments
    from train.generator import gaussians
    from train.machine.command import parse
    from train.study.arms import grid
    from train.tables import run as tables

    study = command.find(name)
    assert "cpu" in study.scales or list(study.scales) == ["paper"]
    columns = {*COLUMNS.values(), *BEST.values(), *derived(dict.fromkeys((*COLUMNS.values(), *BEST.values()), 0.5))}
    assert {measure.keys[0] for measure in study.measures.values() if measure.part == OF_RUN} <= columns
    for scale in study.scales.values():
        evaluations = set()
        for job in jobs_of(study, replace(scale, seeds=(0,)), None, tmp_path):
            if job.program == "train.tables":
                parse(tables.Arguments, job.train, program=job.program, summary="").settings()
                continue
            if job.program == "train.generator.gaussians":
                parse(gaussians.Arguments, job.train, program=job.program, summary="")
                continue
            if job.program == "train.study.arms.grid":
                parse(grid.Arguments, job.train, program=job.program, summary="")
                continue
            assert job.program == "train"
            words, fields = split_words(job.train)
            chosen = choose_recipe(*words)
            parse_overrides(" ".join(words), chosen.summary, chosen.stored, fields, None)
            # What evaluates the arms differs in their folders alone.
            if job.evaluate and job.evaluate[1:] not in evaluations:
                evaluations.add(job.evaluate[1:])
                parse(Arguments, job.evaluate, program="train.evaluate", summary="")
            if job.certify and job.arm == study.reference:
                asked = parse(Certifying, job.certify, program="train.certify", summary="")
                assert asked.folder == str(tmp_path / job.name)


def test_two_measures_of_one_arm_are_compared_in_pairs_of_a_seed(tmp_path: Path) -> None:
    one = Expected("1", "noise costs", "mixed", "accuracy", "mixed", against="noise")
    study = replace(STUDY, arms={"mixed": STUDY.arms["mixed"]}, reference="mixed", expected=(one,))
    numbers = {"accuracy": {"mixed": {0: 0.5, 1: 0.6, 2: 0.7}}, "noise": {"mixed": {0: 0.2, 1: 0.31, 2: 0.4}}}
    verdict, difference = judge(one, study, numbers)
    assert verdict == "holds"
    assert difference is not None
    assert difference.mean == pytest.approx((0.3 + 0.29 + 0.3) / 3)
    text = markdown(contents("mine, scale cpu", study, study.scale("cpu"), planned(tmp_path, study), numbers, {}))
    assert "noise costs (1; mixed, accuracy against noise: " in text
    assert "paired difference" not in text
    with pytest.raises(ValueError, match="the study has no measure 'nothing'"):
        replace(study, expected=(replace(one, against="nothing"),))
