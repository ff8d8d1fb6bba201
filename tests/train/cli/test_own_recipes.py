"""Recipe files of one's own: they train, every command builds their networks again, and nothing else is ever run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.own import RECIPE, write_own
from tests.helpers.training import write_cifar
from train.certify.run import read_run
from train.cli.main import choose_recipe, main
from train.evaluate.models import read_checkpoint
from train.files import checkpoint
from train.files.plain import to_plain
from train.files.recipe_file import read_recipe_file
from train.models import build_model
from train.predict.measure import measure, read_networks
from train.recipe import check_own, from_plain
from train.selective.run import main as selective

ROOT = Path(__file__).parents[3]
PLACE = ["--device", "cpu", "--num_threads", "1"]


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a recipe file imports is forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.startswith(("recipe_file_", "own_schedules", "mine"))]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cifar(tmp_path_factory.mktemp("own") / "data", 100, 40))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: str) -> Path:
    """The folder of a file that was trained in one process, with its checkpoint; not to be changed."""
    home = tmp_path_factory.mktemp("trained")
    arguments = [str(write_own(home / "own")), *PLACE, "--root", data, "--folder", str(home / "runs")]
    assert main(arguments) == 0
    return home


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    """The same run, by a file that can be changed."""
    file = write_own(tmp_path / "own")
    content = checkpoint.load(trained / "runs" / "mine" / "last.pt")
    own = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(file.parent.glob("*.py"))}
    content["recipe_file"] = {"path": str(file), "digests": own}
    checkpoint.save(tmp_path / "last.pt", content)
    return tmp_path


def run(folder: Path, *arguments: str, module: str = "train") -> str:
    """What a command prints that is started in a folder with nothing of the project in it."""
    ignored = "ignore:Implicitly cleaning up:ResourceWarning"
    command = [sys.executable, "-W", "error", "-W", ignored, "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_a_file_trains_goes_on_and_is_evaluated_from_an_empty_folder(data: str, tmp_path: Path) -> None:
    file, empty = write_own(tmp_path / "own"), tmp_path / "empty"
    empty.mkdir()
    place = [*PLACE, "--root", data]
    said = run(empty, "../own/mine.py", "wide", *place)
    assert said.startswith("mine wide\n")
    assert "own:small_net(width=16)" in said
    last = empty / "runs" / "mine-wide" / "last.pt"
    content = checkpoint.load(last)
    assert content["recipe_file"]["path"] == str(file)
    assert set(content["recipe_file"]["digests"]) == {str(file), str(file.with_name("own_schedules.py"))}
    checkpoint.save(last, {**{k: v for k, v in content.items() if k != "format"}, "finished": False})
    assert "goes on in runs/mine-wide after epoch 1" in run(empty, "../own/mine.py", "wide", *place)
    said = run(empty, "runs/mine-wide", "--root", data, "--parts", "clean", module="train.evaluate")
    assert said.startswith(f"own:small_net of runs/mine-wide/last.pt: read from {file}\n")
    assert {path.name for path in empty.iterdir()} == {"runs"}


def test_what_a_file_shows_imports_from_it_and_trains_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_own(tmp_path / "own")
    assert main([str(file), "--mix", "BandMix(alpha=0.3)", "--objective.gamma", "1/2", "--show"]) == 0
    shown = capsys.readouterr().out
    assert "from mine import BandMix, Focal, Poly, small_net\n" in shown
    (tmp_path / "again.py").write_text(shown)
    stored = choose_recipe(str(file)).stored
    expected = replace(stored, mix=replace(stored.mix, alpha=0.3), objective=replace(stored.objective, gamma=0.5))
    again = choose_recipe(str(tmp_path / "again.py"))
    assert to_plain(again.stored) == to_plain(expected)
    check_own(again.stored, again.file)  # type: ignore[arg-type]
    # the code of the classes is what is told apart by, wherever it was imported from
    assert str(file) in again.file.digests  # type: ignore[union-attr]


def test_every_command_reads_the_file_where_it_was_and_says_so(
    home: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    last, file = home / "last.pt", str(home / "own" / "mine.py")
    recipe, _, read = read_run(last, data, None, told.append)
    assert type(recipe.mix).__name__ == "BandMix"
    read_checkpoint(last, data, "both", None, told.append)
    networks = read_networks([last, last], data, None, told.append)
    assert [line.partition(": ")[2] for line in told] == [f"read from {file}"] * 4
    own = "own.BandMix, own.Focal, own.Poly, own:small_net"
    assert [line.partition(" of ")[0] for line in told] == [own, "own:small_net", own, own]
    assert read is not None
    assert checkpoint.load_model(last, file=read)(torch.rand(2, 3, 16, 16)).shape == (2, 4)
    assert networks.recipe_files[0] is not None
    capsys.readouterr()
    assert selective([str(last), "--root", data, "--num_calibration", "20", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith(f"own:small_net of {last}: read from {file}\n")


def test_predictions_are_made_of_networks_of_a_file(home: Path, data: str) -> None:
    from tests.helpers.training import ALONE, coloured

    networks = read_networks([home / "last.pt"], data)
    (measured,) = measure(networks, coloured(20), ALONE, average=False)
    assert 0 <= measured.test_accuracy <= 1


def test_a_file_that_has_changed_or_gone_is_asked_for(home: Path, data: str) -> None:
    file, last = home / "own" / "mine.py", home / "last.pt"

    def refused(message: str) -> None:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            read_run(last, data, None, print)

    beside = file.with_name("own_schedules.py")
    text = beside.read_text()
    beside.write_text(text + "\nraise SystemExit('this is run')\n")
    refused(rf"made with own\.BandMix of {file}, but {beside} has changed since; pass --recipe_file {file}")
    beside.write_text(text)
    file.write_text(RECIPE + "\n# changed\n")
    refused(rf"but {file} has changed since; pass --recipe_file {file} to take it as it is now")
    moved = file.rename(file.with_name("moved.py"))
    refused(rf"but {file} is not there any more; pass --recipe_file FILE")
    assert read_run(last, data, moved, print)[0].model == "own:small_net(width=8)"
    other = home / "other.py"
    other.write_text(
        "from train.recipes import baseline\nfrom dataclasses import replace\nrecipe = replace(baseline.small)\n"
    )
    with pytest.raises(ValueError, match=rf"'own\.\w+', which {other} does not define at its top"):
        read_run(last, data, other, print)
    with pytest.raises(ValueError, match=r"own:small_net: the recipe file has no such function"):
        read_checkpoint(last, data, "both", other, print)


def test_a_file_that_is_not_needed_is_not_read_and_that_is_said(data: str, tmp_path: Path, home: Path) -> None:
    content = checkpoint.load(home / "last.pt")
    plain = build_model("preact_resnet8_w4", num_classes=4, mean=(0.5,) * 3, std=(0.2,) * 3, seed=0)
    network = {**content["network"], "name": "preact_resnet8_w4"}
    del content["format"]
    path = tmp_path / "plain.pt"
    checkpoint.save(path, {**content, "network": network, "model": plain.state_dict(), "ema": None})
    told: list[str] = []
    read_checkpoint(path, data, "both", Path("/no/such/file.py"), told.append)
    assert told == [f"nothing of /no/such/file.py is needed for {path}, so it is not read"]


POISON = "import sys\nsys.modules['it_was_run'] = sys\n"


@pytest.mark.parametrize(
    ("type_name", "path", "message"),
    [
        ("train.__main__.X", None, "names the class"),
        ("os.system", None, "names the class"),
        ("antigravity.X", None, "names the class"),
        ("own.X", None, "does not say which; pass --recipe_file FILE"),
        ("own.X", "antigravity.py", "is no recipe file"),
        ("own.X", "poison.py", "is no recipe file"),
        ("own.X", "/dev/zero", "not there any more"),
        ("own.X", "", "does not say what it was"),
        ("own.X", 3, "does not say which"),
        ("own.replace", "harmless.py", r"'own\.replace', which .*harmless\.py does not define"),
        ("own.dataclasses", "harmless.py", r"'own\.dataclasses', which .*harmless\.py does not define"),
        ("own.__builtins__", "harmless.py", r"'own\.__builtins__', which .*harmless\.py does not define"),
    ],
)
def test_a_hostile_checkpoint_runs_and_imports_nothing(
    home: Path, data: str, type_name: str, path: Any, message: str
) -> None:
    (home / "poison.py").write_text(POISON)
    (home / "harmless.py").write_text(
        "import dataclasses\nfrom dataclasses import replace\nfrom train.recipes import baseline\n"
        "recipe = replace(baseline.small)\n"
    )
    content = checkpoint.load(home / "last.pt")
    del content["format"], content["recipe_file"]
    content["recipe"]["mix"] = {"type": type_name}
    content["recipe"]["objective"] = to_plain(choose_recipe("baseline").stored.objective)
    content["recipe"]["schedule"] = {"type": "train.OneCycle"}
    content["recipe"]["model"] = "preact_resnet8_w4"
    if path == "antigravity.py":
        path = str(Path(os.__file__).with_name(path))
    elif isinstance(path, str) and path.endswith(".py"):
        path = str(home / path)
    if path is not None:
        known = isinstance(path, str) and Path(path).is_file()
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest() if known else ""
        content["recipe_file"] = {"path": path, "digests": {path: digest}}
    checkpoint.save(home / "last.pt", content)
    before = set(sys.modules)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_run(home / "last.pt", data, None, print)
    assert {name for name in set(sys.modules) - before if not name.startswith("recipe_file_")} == set()
    assert not {"antigravity", "it_was_run", "train.__main__"} & set(sys.modules)


@pytest.mark.parametrize(
    "name", ["own:replace(model=1)", "own:os.system('x')", "own:__import__(name='os')", "own:", "own:Recipe(paper='')"]
)
def test_a_network_is_only_looked_for_among_the_functions_of_the_file(home: Path, name: str) -> None:
    names = read_recipe_file(home / "own" / "mine.py").names
    with pytest.raises(ValueError, match=r"^model ['\"]?own:"):
        build_model(name, num_classes=3, mean=(0.5,) * 3, std=(0.2,) * 3, seed=0, own=names)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own:smal_net", "no such function with an argument num_classes; nearest: small_net"),
        ("own:small_net(wide=3)", r"small_net with {'wide': 3}: got an unexpected keyword argument 'wide'"),
    ],
)
def test_a_mistake_in_a_network_of_a_file_is_one_line(home: Path, name: str, message: str) -> None:
    names = read_recipe_file(home / "own" / "mine.py").names
    with pytest.raises(ValueError, match=message):
        build_model(name, num_classes=3, mean=(0.5,) * 3, std=(0.2,) * 3, seed=0, own=names)
    with pytest.raises(ValueError, match="is a function of a recipe file, and none is read"):
        build_model(name, num_classes=3, mean=(0.5,) * 3, std=(0.2,) * 3, seed=0)


BASE = "from dataclasses import dataclass, replace\nfrom mixdali import *\nfrom train.recipes import baseline\n"


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", [], "bad.py is no recipe file: it has no line `recipe = Recipe(...)`"),
        (POISON + "recipe = 3", [], "bad.py is no recipe file"),
        (BASE + "small = replace(baseline.small)", [], "bad.py is no recipe file"),
        (BASE + "recipe = replace(baseline.small", [], "bad.py, line 4: '(' was never closed"),
        (BASE + "recipe = replace(baseline.smal)", [], "bad.py, line 4: AttributeError: module"),
        (BASE + "\nrecipe = replace(baseline.small, num_epochs=0)", [], "bad.py, line 5: num_epochs must be above 0"),
        (BASE + "import sys\nsys.exit()\nrecipe = replace(baseline.small)", [], "bad.py, line 5: SystemExit"),
        (BASE + "import beside\nrecipe = replace(baseline.small)", [], "beside.py, line 2: ZeroDivisionError"),
        (BASE + "recipe = replace(baseline.small)\nrecipe = 3", [], "recipe must be a Recipe, got int"),
        (BASE + "recipe = replace(baseline.small)\nwide = replace(recipe)", ["wid"], "no variant 'wid'; nearest: wide"),
        (BASE + "recipe = replace(baseline.small)", ["--mix", "BandMx()"], "there is no BandMx"),
        (
            BASE + "@dataclass(frozen=True)\nclass CutMix(MixUp):\n    pass\nrecipe = replace(baseline.small)",
            [],
            "CutMix is also a class of mixdali or train; call yours something else",
        ),
        (
            BASE
            + "def made():\n    @dataclass(frozen=True)\n    class Hidden(MixUp):\n        pass\n    return Hidden()\n"
            + "recipe = replace(baseline.small, mix=made())",
            [],
            "the class Hidden of the recipe is no name at the top of",
        ),
        (
            BASE + "@dataclass(frozen=True)\nclass Mine(MixUp):\n    extra: object = None\n"
            "recipe = replace(baseline.small, mix=Mine(extra=print))",
            [],
            "a recipe may hold dataclasses, tuples, numbers and strings, got builtin_function_or_method",
        ),
    ],
)
def test_a_mistake_in_a_file_is_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.py").write_text(text + "\n")
    Path("beside.py").write_text("\n1 / 0\n")
    assert message in error_of(capsys, "bad.py", *arguments)
    assert "it_was_run" not in sys.modules
    assert {path.name for path in tmp_path.iterdir()} <= {"bad.py", "beside.py", "__pycache__"}


def test_what_goes_wrong_in_a_file_while_it_trains_says_where(
    capsys: pytest.CaptureFixture[str], data: str, tmp_path: Path
) -> None:
    text = RECIPE.replace("        loss = -(", "        raise TypeError('oh')\n        loss = -(")
    file = write_own(tmp_path / "own", text)
    main([str(file), *PLACE, "--root", data, "--folder", str(tmp_path / "runs")])
    line = text[: text.index("raise TypeError")].count("\n") + 1
    assert capsys.readouterr().err == f"error: {file}, line {line}: TypeError: oh\n"


def test_files_and_names_are_told_apart(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "for the file write mine.py" in error_of(capsys, "mine")
    assert "min.py does not exist; nearest: mine.py" in error_of(capsys, "min.py")
    chosen = choose_recipe("mine.py", "wide")
    assert (chosen.title, chosen.summary) == ("mine wide", "Bands of the partner, and a loss of its own.")
    with pytest.raises(SystemExit):
        main(["mine.py", "wide", "--help"])
    said = capsys.readouterr().out
    assert "python -m train mine.py wide" in said
    for text in ("BandMix, None", "Focal", "Poly", "--mix.alpha", "--objective.gamma", "--schedule.power"):
        assert text in said


def test_a_recipe_of_a_file_is_stored_and_comes_back(home: Path) -> None:
    chosen = choose_recipe(str(home / "own" / "mine.py"))
    plain = to_plain(chosen.stored)
    assert [plain[name]["type"] for name in ("mix", "objective", "schedule")] == [
        "own.BandMix",
        "own.Focal",
        "own.Poly",
    ]
    assert from_plain(plain, chosen.file) == chosen.stored
    with pytest.raises(ValueError, match=r"names the class 'own\.Poly', which no recipe is made of"):
        from_plain(plain)
    # the same text in the same place is run once
    assert choose_recipe(str(home / "own" / "mine.py")).stored is chosen.stored
