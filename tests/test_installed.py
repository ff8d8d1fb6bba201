"""What a user has who installed the wheel, or who unpacked the sdist: no checkout, an empty folder.

The wheel is installed into an environment of its own, which finds DALI, torch and others where this one has them.
"""

import ast
import email
import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

from tests.test_docs import PAGES, ROOT, code, write_photos


class Installed(NamedTuple):
    wheel: Path
    python: Path
    packages: Path  # where the wheel lies


def build(kind: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    wheel = build("wheel", folder / "dist")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    (packages,) = (folder / "venv/lib").glob("python*/site-packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(packages)]
    subprocess.run([*pip, str(wheel)], check=True)
    # Its own .pth files are not read there, so that an editable install of this checkout is not found.
    (packages / "others.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return Installed(wheel, python, packages)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Compiling takes its time in a place of its own, and makes the same bytes.
PLAIN = "import sys; sys.modules['numba'] = None; "


def run(installed: Installed, code: str, warnings: str = "error") -> subprocess.CompletedProcess[str]:
    command = [str(installed.python), "-W", warnings, "-c", PLAIN + code]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_stock_loaders_are_there(installed: Installed, empty: Path) -> None:
    write_photos(empty / "photos")
    done = run(
        installed,
        "import numpy as np, mixdali\n"
        "from mixdali.pipelines import cifar, imagenet\n"
        "from mixdali.pipelines.sources.source import Source\n"
        "settings = dict(batch_size=4, num_classes=3, mix=mixdali.MixUp(), device='cpu', num_threads=1)\n"
        "arrays = Source(np.zeros((8, 6, 5, 3), np.uint8), np.arange(8) % 3)\n"
        "in_memory, of_files = cifar.train_loader(arrays, **settings), imagenet.train_loader('photos', **settings)\n"
        "for loader in (in_memory, of_files):\n"
        "    print(*(tuple(field.shape) for field in next(iter(loader))))\n"
        "print(mixdali.__file__, [name for name in ('pipelines', 'train') if name in sys.modules])\n",
    )
    assert done.stdout.splitlines() == [
        "(4, 3, 6, 5) (4, 3)",
        "(4, 3, 224, 224) (4, 3)",
        f"{installed.packages}/mixdali/__init__.py []",
    ], done.stderr


CALLS = """
import contextlib, io, runpy

def call(name, *arguments):
    sys.argv, said = [name, *arguments], io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_module(f"mixdali.pipelines.{name}", run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            print(stop.code)
    print(said.getvalue().splitlines())

call("check", "photos")
call("preview", "photos", "--out", "seen.png", "--num_images", "2")
call("preview", "--mx", "CutMix()")
for name in ("check", "preview", "bench"):
    call(name, "--help")
"""


def test_so_are_the_commands_and_they_call_themselves_by_the_name_they_have_there(
    installed: Installed, empty: Path
) -> None:
    write_photos(empty / "photos")
    done = run(installed, CALLS, warnings="default")  # runpy warns of modules that are loaded already
    said = [ast.literal_eval(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(said) == 6, done.stderr
    checked, seen, mistake, *helps = said
    assert checked == ["0 of 24 images cannot be decoded", "0"]
    assert seen[0].startswith("wrote seen.png")
    assert (empty / "seen.png").is_file()
    assert mistake[0].endswith("python -m mixdali.pipelines.preview --help")
    for command, lines in zip(("check", "preview", "bench"), helps, strict=True):
        assert lines[0].startswith(f"usage: python -m mixdali.pipelines.{command} ")


def test_what_bench_measures_runs_in_processes_that_know_the_installed_package(
    installed: Installed, empty: Path
) -> None:
    write_photos(empty / "photos")
    done = run(
        installed,
        "from mixdali.pipelines.bench.race import run\n"
        "from mixdali.pipelines.bench.rows import Contestant, Race\n"
        "settings = dict(folder='photos', batch_size=4, size=16, num_classes=3, threads=1, device='cpu')\n"
        "settings |= dict(output='uint8', fast=False, plain=True, repeat=1, seed=0)\n"
        "race = Race('a race', 'floor', (Contestant('floor', 'floor'),), settings, images=8)\n"
        "(outcome,) = run(race, rounds=1, peers=sys.executable, say=lambda text: None)\n"
        "print(outcome.problem or outcome.rounds[0]['images'])\n",
    )
    assert done.stdout.strip().isdecimal(), done.stdout + done.stderr


def test_without_dali_the_message_names_the_extra(installed: Installed, empty: Path) -> None:
    done = run(installed, "sys.modules['nvidia.dali'] = None; from mixdali.pipelines import imagenet")
    assert "pip install 'mixdali[cuda13]'" in done.stderr.splitlines()[-1]


def test_the_pages_find_there_what_they_import(installed: Installed, empty: Path) -> None:
    nodes = [node for page in PAGES.values() for node in ast.walk(ast.parse(code(page)))]
    wanted = {ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)}
    assert "from mixdali.pipelines import imagenet" in wanted
    ours = sorted(line for line in wanted if re.search(r"\b(mixdali|pipelines)\b", line))
    done = run(installed, "\n" + "\n".join(ours))
    assert done.returncode == 0, done.stderr


USER = """\
import torch
from mixdali.pipelines import imagenet
from mixdali.pipelines.sources.source import Source
import mixdali

images, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
mix = mixdali.Choose([mixdali.MixUp(alpha=0.8), mixdali.CutMix()])
plan = mix.draw(images)
reveal_type(mixdali.one_hot(labels, 4))  # torch._tensor.Tensor
reveal_type(mix(images, labels))  # tuple[torch._tensor.Tensor, torch._tensor.Tensor]
reveal_type(mix.apply(images, None, plan))  # tuple[torch._tensor.Tensor, None]
reveal_type(mixdali.mixed_loss(torch.nn.functional.cross_entropy, images, labels, plan))  # torch._tensor.Tensor
reveal_type(plan)  # mixdali.plan.Plan
reveal_type(mixdali.mixed([(images, labels)], mix, num_classes=4))  # mixdali.wrapping.mixed.MixedLoader
reveal_type(imagenet.train_loader("photos", batch_size=8, num_classes=3, mix=mix))  # mixdali.loading.loader.Loader
reveal_type(imagenet.val_loader(Source(["a.jpg"], labels.numpy()), batch_size=8, num_classes=3).epoch)  # int
imagenet.train_loader("photos", batch_size=8, num_classes=3, mx=mix)  # Unexpected keyword argument "mx"
imagenet.val_loader("photos", batch_size="8", num_classes=3)  # Argument "batch_size" to "__call__" of
imagenet.val_loader("photos", num_classes=3)  # Missing named argument "batch_size"
mixdali.MixUp(alfa=1.0)  # Unexpected keyword argument "alfa"
mix(images)  # Missing positional argument "targets"
"""


def test_a_users_mypy_sees_the_types(installed: Installed, empty: Path) -> None:
    (empty / "user.py").write_text(USER)
    if (ROOT / ".mypy_cache").is_dir():  # torch as `make lint` has read it; without it this takes many seconds
        shutil.copytree(ROOT / ".mypy_cache", empty / "cache")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", "cache"]
    command += ["--python-executable", str(installed.python), "--hide-error-context", "user.py"]
    said = subprocess.run(command, capture_output=True, text=True)
    for number, line in enumerate(USER.splitlines(), start=1):
        expected = line.partition("  # ")[2]
        here = [text for text in said.stdout.splitlines() if text.startswith(f"user.py:{number}: ")]
        if line.startswith("reveal_type"):
            assert [text.partition(": note: ")[2] for text in here] == [f'Revealed type is "{expected}"'], said
        else:
            assert bool(here) == bool(expected)
            assert expected in "".join(here)


def relative_targets(text: str) -> list[str]:
    """Whatever a Markdown text links to or shows that is not on the web or in the text itself."""
    found = re.findall(r"\]\(\s*<?([^)\s>]*)", text) + re.findall(r"^\s*\[[^\]]+\]:\s*(\S+)", text, flags=re.MULTILINE)
    found += re.findall(r"(?:src|srcset|href)\s*=\s*[\"']?([^\"'\s>]*)", text)
    return [target for target in found if not re.match(r"https?://|mailto:|#", target)]


def test_the_description_has_no_dead_links_or_pictures(installed: Installed) -> None:
    planted = "![a](b.png) [c](d/e.md) [f](https://g) <img src='h.svg'>\n[i]: j.md\n[![k](l.png)](m.md)"
    assert relative_targets(planted) == ["b.png", "d/e.md", "l.png", "m.md", "j.md", "h.svg"]
    with zipfile.ZipFile(installed.wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_string(archive.read(name).decode())
    assert metadata["Description-Content-Type"] == "text/markdown"
    description = metadata.get_payload()
    assert isinstance(description, str)
    assert relative_targets(description) == []
    assert re.search(r"!?\[\]\(", description) is None
    headings = re.findall(r"^#+ .*$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert [line for line in headings if line not in description] == []


def commands() -> dict[str, set[str]]:
    """The modules that the texts of a file tell people to run: `python -m MODULE`, by file."""
    found = {}
    for top in ("mixdali", "pipelines", "train"):
        for path in sorted((ROOT / top).rglob("*.py")):
            texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
            names = {
                n for text in texts if isinstance(text, str) for n in re.findall(r"python -m ([a-z_][\w.]*\w)", text)
            }
            if names:
                found[str(path.relative_to(ROOT))] = names
    return found


def test_every_command_that_a_text_names_can_be_called_where_the_text_is_read(installed: Installed) -> None:
    assert "mixdali/loading/explain.py" in commands()
    with zipfile.ZipFile(installed.wheel) as archive:
        there = {name.removesuffix(".py").removesuffix("/__main__").replace("/", ".") for name in archive.namelist()}
    for file, names in commands().items():
        for name in names:
            if file.startswith("train/") and name.partition(".")[0] in ("train", "pipelines"):  # is in a checkout only
                spec = importlib.util.find_spec(name)
                assert spec is not None, (file, name)
                main = spec.submodule_search_locations is None or importlib.util.find_spec(f"{name}.__main__")
                assert main, (file, name)
            else:
                assert name in there, (file, name)


def test_the_wheel_holds_what_git_knows_of_the_packages_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {file for file in tracked() if file.startswith(("mixdali/", "pipelines/"))} - {"mixdali/pipelines.py"}
    assert inside == {f"mixdali/{file}" if file.startswith("pipelines/") else file for file in ours}
    assert "mixdali/py.typed" in inside


def tracked() -> set[str]:
    """The files that are or could be committed; in an sdist, all of it that is no by-product."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    return {file for file in files if file and (ROOT / file).exists()}


def test_the_sdist_holds_all_that_git_knows_so_that_its_tests_can_run(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        inside = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert inside - {"PKG-INFO"} == tracked()


def test_an_editable_install_is_the_checkout_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hatchling.build import build_editable

    monkeypatch.chdir(ROOT)
    name = build_editable(str(tmp_path))
    with zipfile.ZipFile(tmp_path / name) as archive:
        (path,) = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert path.endswith(".pth")
        assert archive.read(path).decode().splitlines() == [str(ROOT)]


def in_checkout(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", f"import sys; sys.path.append({str(ROOT)!r}); {code}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_in_a_checkout_both_names_are_the_same_modules(tmp_path: Path) -> None:
    done = in_checkout(
        "import mixdali.pipelines.sources.source as second, pipelines.sources.source as first\n"
        "import mixdali.pipelines, mixdali.pipelines.cifar, pipelines, pickle\n"
        "from mixdali.pipelines import imagenet\n"
        "from mixdali.pipelines.sources.source import Source\n"
        "assert first is second and Source is first.Source and mixdali.pipelines is pipelines\n"
        "assert mixdali.pipelines.cifar is pipelines.cifar and imagenet is pipelines.imagenet\n"
        "assert second.__spec__.name == 'pipelines.sources.source'\n"
        "assert isinstance(pickle.loads(pickle.dumps(Source(['a'], [0]))), Source)\n"
        "import importlib.util; print(importlib.util.find_spec('mixdali.pipelines.nonsense'))",
        tmp_path,
    )
    assert done.stdout.strip() == "None", done.stderr
    command = [sys.executable, "-m", "mixdali.pipelines.bench", "--help"]  # a folder, which runs its __main__
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("usage: python -m "), done.stderr


def test_another_package_that_is_called_pipelines_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/__init__.py").touch()
    done = in_checkout("from mixdali.pipelines import imagenet", tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"ImportError: mixdali is imported from {ROOT}, whose pipelines are hidden by another package"
    )
    assert str(tmp_path / "pipelines/__init__.py") in last


@pytest.mark.parametrize(("extra", "cuda", "forbidden"), [("cuda12", "12", "2.11.0"), ("cuda13", "13", "2.10.0")])
def test_an_extra_takes_only_the_torch_that_is_made_for_its_cuda(
    installed: Installed, extra: str, cuda: str, forbidden: str
) -> None:
    # Of the wheels on PyPI torch 2.6.0 to 2.10.0 require nvidia-cublas-cu12, 2.11.0 and later cuda-toolkit 13.
    # `pip install --dry-run '.[cuda12]'` ends with torch 2.10.0, nvidia-dali-cuda120 2.4.0 and nvidia-*-cu12 alone.
    with zipfile.ZipFile(installed.wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = email.message_from_string(archive.read(name).decode()).get_all("Requires-Dist", [])
    wanted = [Requirement(line) for line in lines]
    wanted = [one for one in wanted if one.marker is not None and one.marker.evaluate({"extra": extra})]
    torch = next(one for one in wanted if one.name == "torch")
    assert any(one.name == f"nvidia-dali-cuda{cuda}0" for one in wanted)
    assert not torch.specifier.contains(forbidden)
    lines = (ROOT / f"constraints-{extra}.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert {pin.name for pin in pins} == {f"nvidia-dali-cuda{cuda}0", "torch", "torchvision"}
    (pinned,) = [str(pin.specifier).removeprefix("==") for pin in pins if pin.name == "torch"]
    assert torch.specifier.contains(pinned)
