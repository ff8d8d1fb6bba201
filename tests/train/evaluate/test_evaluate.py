"""The command that evaluates: what it leaves, that it goes on where it was stopped, and what it refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from tests.helpers.evaluations import tensor_of, weaken
from tests.helpers.training import TINY, coloured, write_cifar
from train.evaluate import available, export, models, report, run
from train.evaluate.parts import auto, doubts
from train.evaluate.parts.attacks import Ascent, measure_pgd
from train.evaluate.run import evaluate, main
from train.evaluate.settings import Arguments, radius
from train.files import checkpoint
from train.loop.runner import train_recipe
from train.machine.command import new_console, run_command
from train.machine.run import Run
from train.machine.stop import Stop, Stopped
from train.models import build_model
from train.objectives import SelectiveTraining
from train.show.intervals import wilson, with_interval

COUNT = 23
DRAW = report._draw


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/ and the runs averaged and selective."""
    tmp = tmp_path_factory.mktemp("evaluate")
    root = str(write_cifar(tmp / "data", 80, COUNT))
    recipes = {
        "averaged": replace(TINY, mix=None, num_epochs=4, lr=0.1),
        "selective": replace(TINY, mix=None, num_epochs=1, ema_decay=None, objective=SelectiveTraining(start=1)),
    }
    with open(tmp / "log", "w") as log:
        for name, recipe in recipes.items():
            run = Run(root=root, folder=str(tmp / "runs"), name=name, device="cpu", num_threads=1)
            assert train_recipe(name, recipe, run, overrides=[], console=Console(file=log)) == 0
    return tmp


@pytest.fixture
def drawing(few_steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_draw", DRAW)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attacks and doubts in a few steps, no pictures, and the state is saved after each piece."""
    monkeypatch.setattr(report, "_draw", lambda *arguments: None)
    make = auto.make_autoattack
    monkeypatch.setattr(auto, "make_autoattack", lambda *arguments: weaken(make(*arguments), 2, 4))
    for name, value in {"STEPS": (1, 2, 3), "QUERIES": 5, "TIMES": (1.0,)}.items():
        monkeypatch.setattr(doubts, name, value)
    monkeypatch.setattr(run, "SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(run, "TIMES_AS_LONG", 0)


def asked(home: Path, folder: Path, *names: Any, **changes: Any) -> Arguments:
    settings: dict[str, Any] = {"device": "cpu", "root": str(home / "data"), "folder": str(folder), "batch_size": 10}
    settings |= {"checkpoint": home / "runs" / "averaged"} | ({"parts": names} if names else {})
    return Arguments(**(settings | changes))


def run_quietly(arguments: Arguments) -> int:
    with open(os.devnull, "w") as nowhere:
        return evaluate(arguments, Console(file=nowhere))


def results(folder: Path, name: str = "evaluate-averaged-last") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name / "evaluate.json").read_text())
    return content


@pytest.mark.usefixtures("drawing")
def test_the_command_leaves_numbers_a_table_and_pictures(home: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["--root", str(home / "data"), "--folder", str(tmp_path), "--device", "cpu", "--eps", "80/255"]
    assert main([str(home / "runs" / "averaged"), *words]) == 0
    found = results(tmp_path)
    assert list(found["parts"]) == ["clean", "calibration", "pgd20"]
    ascent = Ascent(eps=80 / 255, num_steps=20, restarts=2)
    assert found["settings"]["pgd20"] == ascent.plain()
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    clean, attacked = found["parts"]["clean"], found["parts"]["pgd20"]
    assert list(clean) == ["averaged", "raw"]
    for name in clean:
        assert clean[name]["accuracy"] == found["parts"]["calibration"][name]["accuracy"]
        assert clean[name]["accuracy"] == attacked[name]["after"][0]
        assert clean[name]["accuracy"] > attacked[name]["accuracy"]
    said = capsys.readouterr().out
    assert "averaged, last: 23 of 23 test images, float32 on cpu; writes to" in said
    assert "PGD-20, 2 starts, Linf 80/255" in said
    assert found["intervals"]["clean"]["raw"]["accuracy"] == list(wilson(clean["raw"]["accuracy"], COUNT))
    assert found["intervals"]["pgd20"]["raw"]["after"][0] == found["intervals"]["clean"]["raw"]["accuracy"]
    assert f" {with_interval(clean['averaged']['accuracy'], COUNT)} " in said
    assert "  worst class" in said
    for picture in ("attacks.png", "calibration.png", "classes.png"):
        with Image.open(tmp_path / "evaluate-averaged-last" / picture) as image:
            assert image.size[0] > 300


def test_beside_the_checkpoint_if_nothing_else_is_said(home: Path) -> None:
    for name in ("last", "best"):
        path = home / "runs" / "averaged" / f"{name}.pt"
        assert run_quietly(replace(asked(home, home, "clean"), folder=None, checkpoint=path)) == 0
        found = results(home / "runs" / "averaged", f"evaluate-{name}")
        assert found["title"] == f"averaged, {name}"


def test_both_weights_are_those_of_the_checkpoint(home: Path, tmp_path: Path) -> None:
    assert run_quietly(asked(home, tmp_path, "clean", "pgd20", eps="3/255")) == 0
    source, path = coloured(COUNT, seed=1), home / "runs" / "averaged" / "last.pt"
    images, labels = tensor_of(source.items), torch.tensor(np.array(source.labels)).long()
    for name, average in (("averaged", True), ("raw", False)):
        model = checkpoint.load_model(path, average=average)
        with torch.no_grad():
            hits = (model(images).argmax(dim=1) == labels).double().mean()
        assert results(tmp_path)["parts"]["clean"][name]["accuracy"] == pytest.approx(float(hits))


@pytest.mark.parametrize(("weights", "name"), [("averaged", "averaged"), ("kept", "averaged"), ("raw", "raw")])
def test_one_of_the_weights_alone(home: Path, tmp_path: Path, weights: Any, name: str) -> None:
    assert run_quietly(asked(home, tmp_path, "clean", weights=weights)) == 0
    assert list(results(tmp_path)["parts"]["clean"]) == [name]


ALL = ("clean", "calibration", "noise", "occlusion", "detection", "fgsm", "transfer", "pgd", "pgd20", "pgd50")
INSIDE = ("deformations", "embedding", "landscape", "landscape_attacked", "selective", "spectrum")


@pytest.mark.usefixtures("drawing")
def test_every_part_has_its_numbers_and_its_lines(home: Path, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    other = home / "runs" / "averaged" / "best.pt"
    ood = write_cifar(tmp_path / "others", 5, 9)
    question = asked(home, tmp_path, "all", source=other, ood=(ood,), num_images=12, restarts=1)
    assert evaluate(question, Console(width=160)) == 0
    found = results(tmp_path)["parts"]
    assert set(found) == {*ALL, *INSIDE, "autoattack", "calibration_attacked", "doubts"}
    assert [len(found["autoattack"][name]["robust"]) for name in ("averaged", "raw")] == [12, 12]
    assert {"uniform", "gaussian", "others"} < set(found["detection"]["raw"])
    said = capsys.readouterr().out
    assert "left out: corruptions are made for images of 32 x 32 pixels or more" in said
    for text in (
        "AutoAttack, Linf 8/255",
        "  after SQUARE",
        "AUROC against others",
        "transfer, PGD-20 8/255",
        "doubts",
    ):
        assert text in said
    assert "Doubts about the robustness of averaged, on 12 images:" in said
    pictures = {path.name for path in (tmp_path / "evaluate-averaged-last").glob("*.png")}
    assert pictures >= {"attacks.png", "radius.png", "fgsm.png", "noise.png", "detection.png", "transfer.png"}


def test_every_share_in_the_report_has_its_interval(home: Path, tmp_path: Path) -> None:
    parts = ("clean", "calibration", "noise", "occlusion", "fgsm", "pgd20", "doubts")
    assert run_quietly(asked(home, tmp_path, *parts, num_images=9, weights="raw", restarts=1)) == 0
    found = results(tmp_path)
    assert set(found["intervals"]) == set(parts)

    def check(shares: Any, intervals: Any) -> None:
        if isinstance(intervals, dict):
            for key, own in intervals.items():
                check(shares[key], own)
        elif isinstance(shares, list):
            for share, own in zip(shares, intervals, strict=True):
                check(share, own)
        else:
            assert intervals == list(wilson(shares, 9))

    for name in parts:
        check(found["parts"][name], found["intervals"][name])


def test_saved_images_of_a_trained_network_give_the_reported_accuracies_again(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    file, settings = tmp_path / "images.npz", {"weights": "raw", "eps": "12/255", "restarts": 1}
    assert run_quietly(asked(home, tmp_path, "pgd20", save_adversarial=file, **settings)) == 0
    assert run_quietly(asked(home, tmp_path, "pgd20", "autoattack", save_adversarial=file, **settings)) == 0
    reported = results(tmp_path)["parts"]
    assert run_quietly(asked(home, tmp_path, "saved", adversarial=file, **settings)) == 0
    found = results(tmp_path)["parts"]["saved"]["raw"]
    assert found == {f"{part}/raw": reported[part]["raw"]["accuracy"] for part in ("pgd20", "autoattack")}
    with pytest.raises(ValueError, match="holds adversarial images of other images; name another file"):
        run_quietly(asked(home, tmp_path, "pgd20", save_adversarial=file, first=5, **settings))
    with pytest.raises(ValueError, match=r"holds pgd20, whose adversarial images were not saved in .*; pass another"):
        run_quietly(asked(home, tmp_path, "pgd20", save_adversarial=tmp_path / "new.npz", **settings))
    with pytest.raises(FileNotFoundError, match="save_adversarial: there is no folder"):
        run_quietly(asked(home, tmp_path, "pgd20", save_adversarial=tmp_path / "no" / "new.npz", **settings))


def test_saving_that_was_stopped_saves_the_same_images(home: Path, tmp_path: Path, stopping: Stopping) -> None:
    settings: dict[str, Any] = {"weights": "raw", "eps": "12/255", "restarts": 1}
    files = [tmp_path / "whole.npz", tmp_path / "parts.npz"]
    assert run_quietly(asked(home, tmp_path / "whole", "pgd20", save_adversarial=files[0], **settings)) == 0
    stopping.at, stopping.seen = stopping.seen - 3, 0
    assert run_quietly(asked(home, tmp_path / "parts", "pgd20", save_adversarial=files[1], **settings)) == 130
    assert not files[1].exists()
    stopping.at = -1
    assert run_quietly(asked(home, tmp_path / "parts", "pgd20", save_adversarial=files[1], **settings)) == 0
    whole, parts = (dict(np.load(file)) for file in files)
    assert set(whole) == set(parts)
    for name in whole:
        assert np.array_equal(whole[name], parts[name])


def test_a_list_and_the_first_choose_the_images(home: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("3\n20\n")
    assert run_quietly(asked(home, tmp_path, "clean", subset=tmp_path / "list.txt")) == 0
    assert results(tmp_path)["identity"]["images"]["number"] == 2
    assert run_quietly(asked(home, tmp_path, "clean", first=4)) == 0
    assert results(tmp_path, "evaluate-averaged-last-2")["identity"]["images"]["number"] == 4
    with pytest.raises(ValueError, match="three ways to choose images"):
        run_quietly(asked(home, tmp_path, "clean", first=4, num_images=4))


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize(("batch_size", "num_images"), [(1, 2), (100, 1)])
def test_any_number_of_images_passes_in_batches_of_any_size(
    home: Path, tmp_path: Path, capsys: Any, batch_size: int, num_images: int
) -> None:
    parts = [name for name in ALL if name not in ("transfer", "pgd", "pgd50")]
    question = asked(home, tmp_path, *parts, "doubts", batch_size=batch_size, num_images=num_images, name="run[1] $a$")
    assert evaluate(question, new_console()) == 0
    assert set(results(tmp_path, "run[1] $a$")["parts"]) == {*parts, "doubts"}
    said = capsys.readouterr().out
    assert f"{num_images} of 23 test images" in said
    assert said.splitlines()[-1].startswith(f"{tmp_path}/run[1] $a$: ")


def test_with_another_number_of_threads_it_goes_on_and_says_so_or_is_refused(
    home: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    for number in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda number=number: number)
        if number == 2:
            with pytest.raises(ValueError, match="2 threads instead of 1: no longer equal to the byte"):
                run_quietly(asked(home, tmp_path, "calibration", exact=True))
        assert evaluate(asked(home, tmp_path, ("clean", "calibration")[number - 1]), new_console()) == 0
        said = capsys.readouterr().out.splitlines()
        assert any(line.startswith("goes on with 2 threads instead of 1: ") for line in said) == (number == 2)
    found = results(tmp_path)
    assert list(found["parts"]) == ["clean", "calibration"]
    assert found["identity"]["changed"] == ["2 threads instead of 1"]


@dataclass
class Stopping:
    seen: int = 0
    """Batches and passes of a network so far."""
    at: int = -1
    """The one before which an evaluation is stopped."""


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Stopping:
    state = Stopping()

    def check(self: Stop) -> None:
        if state.seen == state.at:
            self.requested = True
            raise Stopped
        state.seen += 1

    monkeypatch.setattr(Stop, "check", check)
    return state


def test_an_evaluation_that_was_stopped_ends_with_the_same_numbers(
    home: Path, tmp_path: Path, stopping: Stopping
) -> None:
    pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    names = ("clean", "fgsm", "pgd20", "autoattack")
    settings: dict[str, Any] = {"eps": "40/255", "restarts": 1, "weights": "averaged"}
    assert run_quietly(asked(home, tmp_path / "whole", *names, **settings)) == 0
    whole, total = results(tmp_path / "whole"), stopping.seen
    for number, share in enumerate((0.1, 0.4, 0.8, 0.99)):
        folder = tmp_path / str(number)
        stopping.seen, stopping.at = 0, int(share * total)
        assert run_quietly(asked(home, folder, *names, **settings)) == 130
        assert set(results(folder)["parts"]) < set(names)
        stopping.at = -1
        assert run_quietly(asked(home, folder, *names, **settings)) == 0
        assert stopping.seen < total + 100
        assert [path.name for path in folder.iterdir()] == ["evaluate-averaged-last"]
        assert results(folder) == whole


def test_what_is_known_is_not_computed_again(home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    assert run_quietly(asked(home, tmp_path, "clean", "fgsm")) == 0
    before = results(tmp_path)["parts"]
    monkeypatch.setitem(available.PARTS, "fgsm", None)
    assert run_quietly(asked(home, tmp_path, "fgsm", "occlusion")) == 0
    found = results(tmp_path)["parts"]
    assert set(found) == {"clean", "fgsm", "occlusion"}
    assert {name: found[name] for name in before} == before


@pytest.mark.parametrize("changes", [{"num_images": 5}, {"seed": 1}, {"weights": "raw"}, {"batch_size": 7}], ids=str)
def test_another_question_gets_another_folder(home: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert run_quietly(asked(home, tmp_path, "clean")) == 0
    before = results(tmp_path)
    with pytest.raises(ValueError, match=r"holds another run .*pass another --name"):
        run_quietly(asked(home, tmp_path, "clean", name="evaluate-averaged-last", **changes))
    assert run_quietly(asked(home, tmp_path, "clean", **changes)) == 0
    assert results(tmp_path, "evaluate-averaged-last-2")["identity"] != before["identity"]
    assert results(tmp_path) == before


def test_saving_takes_a_twentieth_of_the_time_at_most(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.undo()
    now, saves = [1000.0], list[float]()
    monkeypatch.setattr(run.time, "perf_counter", lambda: now[0])

    def save(path: Path, content: Any) -> None:
        saves.append(now[0])
        now[0] += 3.0

    monkeypatch.setattr(run.checkpoint, "save", save)
    notes = run.Notes(tmp_path / "last.pt", {}, parts={"pgd20": {"settings": {}, "rows": {}, "result": None}})
    notes.save()
    for number in range(200):
        now[0] += 1.0
        notes.remember("pgd20", str(number), dict)
    assert 3 <= len(saves) <= 5
    assert now[0] - 1000 <= 200 + 3 * 5


def test_results_of_another_form_are_left_as_they_are(home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(run, "FORM", run.FORM - 1)
    assert run_quietly(asked(home, tmp_path, "clean")) == 0
    before = results(tmp_path)
    monkeypatch.undo()
    assert run_quietly(asked(home, tmp_path, "clean")) == 0
    assert results(tmp_path) == before
    assert results(tmp_path, "evaluate-averaged-last-2")["parts"] == before["parts"]


def test_a_part_with_other_settings_is_refused_and_the_old_one_kept(home: Path, tmp_path: Path) -> None:
    assert run_quietly(asked(home, tmp_path, "pgd20", eps="4/255")) == 0
    before = results(tmp_path)
    with pytest.raises(
        ValueError, match=r"evaluate-averaged-last holds pgd20 with other settings \(eps .*, now 0.5; norm Linf, now L2"
    ):
        run_quietly(asked(home, tmp_path, "clean", "pgd20", eps=0.5, norm="L2"))
    assert results(tmp_path) == before
    assert run_quietly(asked(home, tmp_path, "pgd20", eps=0.5, norm="L2", name="l2")) == 0


def test_an_output_beside_the_classes_is_left_out(home: Path, tmp_path: Path) -> None:
    path = home / "runs" / "selective"
    assert run_quietly(asked(home, tmp_path, "clean", "pgd20", "autoattack", checkpoint=path)) == 0
    source, model = coloured(COUNT, seed=1), checkpoint.load_model(path / "last.pt")
    with torch.no_grad():
        logits = model(tensor_of(source.items))
    assert logits.shape[1] == 5
    hits = (logits[:, :4].argmax(dim=1).numpy() == source.labels).mean()
    assert results(tmp_path, "evaluate-selective-last")["parts"]["clean"]["network"]["accuracy"] == hits


def test_images_are_evenly_spread_and_keep_their_places(home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    seen = []

    def measure(setup: available.Setup, remember: Any) -> dict[str, Any]:
        seen.extend(index for batch in setup.images for index in batch.index.tolist())
        return {"n": {"accuracy": 1.0, "by_class": {"a": {"accuracy": 1.0, "images": 5}}}}

    monkeypatch.setitem(available.PARTS, "clean", measure)
    assert run_quietly(asked(home, tmp_path, "clean", num_images=5)) == 0
    assert seen == [0, 4, 9, 13, 18]


class Colours(nn.Module):
    """Four logits that tell the four colours apart, or what else a mistake makes of them."""

    def __init__(self, kind: str = "logits") -> None:
        super().__init__()
        self.kind = kind
        self.head = nn.Linear(3, 1000 if kind == "many" else 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.head(images.mean(dim=(2, 3)))
        return {"probabilities": logits.softmax(dim=1), "nan": logits * torch.nan}.get(self.kind, logits)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Arguments]:
    def ask(kind: str) -> Arguments:
        monkeypatch.setattr("tests.train.evaluate.test_evaluate.load", lambda: Colours(kind), raising=False)
        root = tmp_path / "data"
        if not root.exists():
            write_cifar(root, 5, COUNT)
        settings: dict[str, Any] = {"parts": ("clean", "pgd20"), "device": "cpu", "folder": str(tmp_path)}
        return Arguments(model=f"{__name__}:load", root=str(root), **settings)

    return ask


def test_a_network_of_the_users_own(mine: Callable[[str], Arguments], tmp_path: Path) -> None:
    torch.manual_seed(0)
    with torch.random.fork_rng():
        assert run_quietly(mine("logits")) == 0
    found = results(tmp_path, f"evaluate-{__name__}-load")
    assert list(found["parts"]["pgd20"]) == ["network"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("probabilities", r"network returns probabilities \(each row sums to 1\), .* without the softmax"),
        ("many", r"network must return logits \(2, 4\) for 2 images, got \(2, 1000\); are these images of its classes"),
        ("nan", "network must return finite logits, got nan or infinity"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(mine: Callable[[str], Arguments], kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_quietly(mine(kind))


def test_weights_are_exported_and_evaluated_as_the_run_they_are_of(home: Path, tmp_path: Path, capsys: Any) -> None:
    content = checkpoint.load(home / "runs" / "averaged" / "last.pt")
    facts = content["network"] | {"name": "wide_resnet10_1"}
    weights = build_model(**facts, seed=3).state_dict()
    checkpoint.save(tmp_path / "last.pt", content | {"network": facts, "model": weights, "ema": None})
    assert run_quietly(asked(home, tmp_path, "clean", "pgd20", checkpoint=tmp_path / "last.pt", name="run")) == 0
    assert export.main([str(tmp_path), str(tmp_path / "weights.pt")]) == 0
    assert "wide_resnet10_1, weights of the last step, with mu and sigma" in capsys.readouterr().out
    changes = {"checkpoint": None, "state_dict": tmp_path / "weights.pt", "network": "wide_resnet10_1", "name": "file"}
    assert run_quietly(asked(home, tmp_path, "clean", "pgd20", **changes)) == 0
    assert results(tmp_path, "file")["parts"] == results(tmp_path, "run")["parts"]
    with pytest.raises(FileExistsError, match="is there already; name another file"):
        export.main([str(tmp_path), str(tmp_path / "weights.pt")])
    with pytest.raises(ValueError, match="has no counterpart among RobustBench's networks"):
        export.main([str(home / "runs" / "averaged"), str(tmp_path / "other.pt")])
    with pytest.raises(ValueError, match="has outputs beside its classes"):
        export.main([str(home / "runs" / "selective"), str(tmp_path / "other.pt")])


def test_what_cannot_be_a_function_is_refused() -> None:
    for name, message in {
        "mine": "model must be MODULE:FUNCTION, such as mine:load_network, got 'mine'",
        "json:nothing": "json:nothing: the module json has no function 'nothing'",
        "os:getcwd": "os:getcwd must return a torch.nn.Module, got str",
    }.items():
        with pytest.raises((ValueError, TypeError), match=message):
            models.read_function(name, None)


def test_other_classes_and_no_average_are_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trained on the 4 classes a, b, c, \.\.\., the embedded digits has 10: "):
        run_quietly(asked(home, tmp_path, root=None))
    selective = home / "runs" / "selective"
    with pytest.raises(ValueError, match="holds no averaged weights; pass --weights raw"):
        run_quietly(asked(home, tmp_path, checkpoint=selective, weights="averaged"))
    assert run_quietly(asked(home, tmp_path, "clean", checkpoint=selective, weights="kept", name="kept")) == 0
    assert list(json.loads((tmp_path / "kept/evaluate.json").read_text())["parts"]["clean"]) == ["network"]


@pytest.mark.parametrize(
    ("eps", "norm", "kind", "expected"),
    [
        (None, "Linf", "cifar", 8 / 255),
        (None, "Linf", "imagenet", 4 / 255),
        (None, "L2", "cifar", 0.5),
        ("8/255", "Linf", "cifar", 8 / 255),
        ("0.031", "Linf", "cifar", 0.031),
        (0.25, "L2", "imagenet", 0.25),
    ],
)
def test_a_radius_is_a_fraction_a_number_or_the_usual_one(eps: Any, norm: Any, kind: Any, expected: float) -> None:
    assert radius(eps, norm, kind) == expected


UNITS = "in units of images in [0, 1]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--eps", "8"], f"eps must be above 0 and below 0.5 in Linf, {UNITS} (8/255, not 8), got 8"),
        (["--eps", "128", "--norm", "L2"], f"eps must be above 0 and below 64 in L2, {UNITS} (0.5, not 128), got 128"),
        (["--eps", "-1/255"], "eps must be above 0"),
        (["--eps", "8/0"], "eps must be a number such as 8/255 or 0.031, got '8/0'"),
        (["--eps", "eight"], "eps must be a number such as 8/255 or 0.031, got 'eight'"),
        (["--restarts", "0"], "restarts must be a whole number above 0, got 0"),
        (["--batch_size", "0"], "batch_size must be a whole number above 0, got 0"),
        (["--num_images", "0"], "num_images must be a whole number above 0, got 0"),
        (["--seed", "-1"], "seed must be a whole number from 0 up, got -1"),
        (["--parts", "pgd30"], "pgd30"),
        (
            ["--model", "mine:load"],
            "CHECKPOINT, --model and --state_dict are three ways to name the network, give one, got nowhere.pt and m",
        ),
        (["--partss", "clean"], "--partss is no argument of python -m train.evaluate"),
        ([], "nowhere.pt does not exist"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["train.evaluate", "nowhere.pt", *words])
    assert run_command(main) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert message in said


def test_parts_that_lack_something_are_refused_before_anything_is_measured(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="transfer needs the checkpoint of another network; pass --source"):
        run_quietly(asked(home, tmp_path, "clean", "transfer"))
    with pytest.raises(ValueError, match="corruptions are made for images of 32 x 32 pixels or more"):
        run_quietly(asked(home, tmp_path, "clean", "corruptions"))
    assert not any(tmp_path.iterdir())


def test_the_attack_sees_batch_norms_averages_and_leaves_them(home: Path, tmp_path: Path) -> None:
    subject = models.read_checkpoint(home / "runs" / "averaged", str(home / "data"), "raw")
    setup = run.set_up(asked(home, tmp_path), subject, run.World(torch.device("cpu")), Stop(), Console())
    before = {name: value.clone() for name, value in subject.networks["raw"].state_dict().items()}
    measure_pgd(setup.networks, setup.images, Ascent(eps=2 / 255, num_steps=3), seed=0)
    for name, value in subject.networks["raw"].state_dict().items():
        assert torch.equal(value, before[name])
