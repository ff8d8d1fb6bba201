"""Parts of a recipe given whole on the command line, and the recipe that a command shows."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from mixdali import Choose, CutMix, Fixed, MixUp
from tests.helpers.training import write_cifar
from train.attacks import FGSM, PGD, Robust
from train.cli.main import find_recipe, main
from train.cli.overrides import parse_overrides
from train.cli.whole import part_fields
from train.data.labels.noise import LabelNoise
from train.data.streams import Stream
from train.evaluate.run import main as evaluate
from train.files import checkpoint
from train.objectives import TRADES, CrossEntropy, ManifoldMixup
from train.optim import SGD, AdamW, Cosine, Steps
from train.recipe import Recipe, from_plain, vocabulary

PGD_4 = PGD(eps=4 / 255, step_size=1 / 255)


def parsed(*words: str, name: str = "demo") -> Recipe:
    return parse_overrides("demo", "", find_recipe(name)[1], words)[0]


def said(capsys: pytest.CaptureFixture[str], command: Callable[[Sequence[str]], int], *arguments: str) -> str:
    """What a command prints that does what it is asked to."""
    assert command(arguments) == 0, capsys.readouterr().err
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (["--mix", "CutMix(alpha=1.0)", "--optimizer", "AdamW()"], {"mix": CutMix(), "optimizer": AdamW()}),
        (["--mix=None"], {"mix": None}),
        (["--mix", "mixdali.MixUp(alpha=1/2)"], {"mix": MixUp(alpha=0.5)}),
        (["--optimizer", "train.AdamW(betas=(0.9, 0.98))"], {"optimizer": AdamW(betas=(0.9, 0.98))}),
        (["--schedule", "Cosine(warmup=5)"], {"schedule": Cosine(warmup=5)}),
        (["--objective", "TRADES(beta=6)"], {"objective": TRADES(beta=6)}),
        (["--robust", "Robust(attack=PGD(eps=4/255, step_size=1/255))"], {"robust": Robust(attack=PGD_4)}),
        (["--noise", "LabelNoise(rate=0.2, to='next')"], {"noise": LabelNoise(rate=0.2, to="next")}),
        (["--streams", "[Stream(share=0.3), Stream()]"], {"streams": (Stream(share=0.3), Stream())}),
        (["--streams", "[]"], {"streams": ()}),
        # fields of what was put in
        (["--mix", "CutMix()", "--mix.alpha", "Fixed(0.3)"], {"mix": CutMix(alpha=Fixed(0.3))}),
        (["--mix.alpha", "0.3", "--mix", "CutMix()"], {"mix": CutMix(alpha=0.3)}),
        (["--mix", "Choose([MixUp(), CutMix()])", "--mix.mixes.1", "MixUp()", "--mix.mixes.1.alpha", "0.4"], {}),
        (["--mix.mixes", "[CutMix()]", "--mix.weights", "1"], {"mix": Choose([CutMix()], weights=[1], prob=0.7)}),
        (
            ["--objective.attack", "FGSM(eps=8/255, step_size=10/255)", "--objective", "TRADES()"],
            {"objective": TRADES(attack=FGSM(eps=8 / 255, step_size=10 / 255))},
        ),
        (
            ["--objective", "TRADES()", "--objective.attack.eps", "4/255", "--objective.attack.step_size=1/255"],
            {"objective": TRADES(attack=PGD_4)},
        ),
        (["--streams", "[Stream()]", "--streams.1.share", "0.2"], {"streams": (Stream(), Stream(share=0.2))}),
        # what fits together alone
        (["--objective", "ManifoldMixup()", "--mix", "None"], {"objective": ManifoldMixup(), "mix": None}),
        (
            ["--schedule", "Steps(at=(30, 40))", "--num_epochs", "50"],
            {"schedule": Steps(at=(30, 40)), "num_epochs": 50},
        ),
        (["--num-epochs", "3", "--mix", "None"], {"num_epochs": 3, "mix": None}),
    ],
)
def test_a_part_is_replaced_whole_and_then_by_field(words: list[str], changes: dict[str, Any]) -> None:
    stored = find_recipe("demo")[1]
    expected = changes or {"mix": Choose([MixUp(), MixUp(alpha=0.4)])}
    assert parsed(*words) == replace(stored, **expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mix", "SGD()"], "--mix takes a Mix (Choose, CutMix, "),
        (["--mix", "SGD()"], ") or None, got SGD(), in SGD()"),
        (["--optimizer", "CutMix()"], "SGD, AdamW), got CutMix()"),
        (["--schedule", "Steps(at=(3, 40))"], "schedule.at (3, 40) lies beyond the last of num_epochs=12"),
        (["--robust", "PGD(eps=4/255, step_size=1/255)"], "--robust takes Robust(...) or None, got PGD("),
        (["--noise", "None"], "--noise takes LabelNoise(...), got None"),
        (["--streams", "Stream()"], "--streams takes a list, each Stream(...), got Stream()"),
        (["--mix", "CutMx()"], "there is no CutMx; nearest: CutMix"),
        (["--mix", "CutMix(alfa=1)"], "CutMix has no setting 'alfa'; nearest: alpha, at character 8 of CutMix("),
        (["--schedule", "Cosin()"], "there is no Cosin; nearest: Cosine"),
        (["--mix"], "--mix needs a part, such as 'Choose(...)'"),
        (["--streams", "--lr", "1"], "--streams needs a part, such as '[Stream(...)]'"),
        (["--mix", "None", "--mix", "CutMix()"], "--mix is given twice"),
        (["--mx", "CutMix()"], "--mx is no field of the recipe or the run; nearest: mix"),
        (["--objective", "ManifoldMixup()"], "mix must be None: ManifoldMixup mixes hidden values itself, got Choose"),
        (["--mix", "None", "--mix.alpha", "1"], "--mix.alpha is no field"),
        (["--optimizer", "AdamW()", "--optimizer.momentum", "0.5"], "nearest: optimizer.betas, optimizer.eps"),
        (["--claim", "None"], "--claim is no field"),
        (["--shwo"], "nearest: show"),
        (["--lr", "fast"], "--lr takes a number, got fast"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert main(["demo", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_every_field_that_holds_parts_can_be_given_whole() -> None:
    names = part_fields(find_recipe("demo")[1], vocabulary())
    before = ["optimizer", "schedule", "mix", "objective", "progressive", "auto_augment", "erasing"]
    assert names == [*before, "noise", "image_noise", "streams", "robust"]


def test_help_names_what_may_stand_for_a_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    lines = " ".join(capsys.readouterr().out.partition("written whole")[2].split())
    for text in (
        "--mix Choose, CutMix,",
        "SmoothMix, None",
        "SGD, AdamW --schedule",
        "--robust Robust, None",
        "--show",
    ):
        assert text in lines
    assert "[Stream(...), ...]" in lines
    assert all(name in lines for name, kind in vocabulary().items() if name.endswith("TRADES"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cifar(tmp_path_factory.mktemp("whole") / "data", 400, 20))


def test_the_most_natural_command_trains_resumes_and_is_evaluated(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # smaller than the real one by its data alone
    words = ["baseline", "small", "--mix", "CutMix(alpha=1.0)", "--optimizer", "AdamW()", "--lr", "0.002"]
    place = ["--root", data, "--num_images", "256", "--batch_size", "16", "--device", "cpu", "--num_threads", "1"]
    told = said(capsys, main, *words, "--num_epochs", "1", *place)
    assert "optimizer SGD, now AdamW" in " ".join(told.split())
    last = Path("runs/baseline-small/last.pt")
    content = checkpoint.load(last)
    recipe = from_plain(content["recipe"])
    assert (recipe.mix, recipe.optimizer) == (CutMix(alpha=1.0), AdamW())
    # as it was before the end
    checkpoint.save(last, {**{k: v for k, v in content.items() if k != "format"}, "finished": False})
    told = said(capsys, main, *words, "--num_epochs", "1", *place)
    assert "goes on in runs/baseline-small after epoch 1" in told
    told = said(capsys, evaluate, "runs/baseline-small", "--root", data, "--parts", "clean", "--device", "cpu")
    assert "clean: accuracy" in told


def test_a_shown_recipe_is_a_file_that_shows_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = ["zhang2017mixup", "small", "--mix", "Choose([MixUp(), CutMix()])", "--lr", "1/8"]
    shown = said(capsys, main, *words, "--show")
    assert (
        shown.splitlines()[0] == "# python -m train zhang2017mixup small --mix 'Choose([MixUp(), CutMix()])' --lr 1/8"
    )
    assert [path.name for path in tmp_path.iterdir()] == []
    (tmp_path / "mine.py").write_text(shown)
    again = said(capsys, main, "mine.py", "--show")
    assert again.partition("\n")[2] == shown.partition("\n")[2]
    made: dict[str, Any] = {}
    exec(shown, made)
    assert made["recipe"] == parse_overrides("", "", find_recipe("zhang2017mixup", "small")[1], words[2:])[0]
    assert {field.name for field in fields(Recipe)} == {
        line.partition("=")[0].strip() for line in shown.splitlines() if re.match(r"    \w", line)
    }


def test_plain_recipes_have_plain_parts() -> None:
    assert parsed("--objective", "CrossEntropy()", "--optimizer", "SGD()").objective == CrossEntropy()
    assert isinstance(parsed("--optimizer", "SGD()").optimizer, SGD)
