"""Who may import whom, and what an import costs."""

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DALI, TORCH = "nvidia.dali", "torch"

# The order of the rooms: a file imports from its own room and from those above it in this table. A room is a folder
# without its subfolders; of a room's files the table may place some on their own.
TABLE = """
    mixdali/checks.py mixdali/names.py mixdali/seeds.py
    mixdali/ranks.py
    mixdali/plan.py mixdali/worlds/output.py mixdali/draws.py mixdali/worlds/classmates.py
    mixdali/worlds mixdali/worlds/compiled mixdali/worlds/graph
    mixdali/schedule.py mixdali/targets.py mixdali/pixels.py mixdali/mix.py
    mixdali/methods mixdali/losses.py mixdali/loading mixdali/wrapping mixdali/prepare
    mixdali

    pipelines/augment pipelines/arguments.py pipelines/show
    pipelines/sources pipelines/sources/records pipelines/sources/datasets
    pipelines/check
    pipelines
    pipelines/bench pipelines/bench/contestants

    train/machine train/models train/attacks train/optim train/files
    train/objectives/parts train/objectives
    train/data/labels train/data/streams
    train/recipe.py train/recipes
    train/data train/show train/loop train/cli
    train/evaluate/parts train/evaluate/pictures train/evaluate
    train/certify train/predict train/selective train/compare train/export
    train/study/declare.py train/study/scales.py train/study/studies train/study/numbers.py train/study/arms train/study
    train/generator train/autoencoder train/tables
    train/bench train/killed
    train
"""
ORDER = TABLE.split()

# What a place may import at the top of a file beside the project and the standard library.
ALLOWED = {
    "mixdali": set(),
    "mixdali/worlds/tensor.py": {TORCH},
    "mixdali/worlds/tensor_draws.py": {TORCH},
    "mixdali/worlds/tensor_along.py": {TORCH},
    "mixdali/worlds/operators.py": {"numpy"},
    "mixdali/worlds/uniforms.py": {"numpy"},
    "mixdali/worlds/scaled.py": {"numpy"},
    "mixdali/worlds/dynamic.py": {DALI, "numpy"},
    "mixdali/worlds/graph": {DALI, "numpy"},
    "mixdali/worlds/compiled": {DALI, "llvmlite", "numba", "numpy"},
    **{
        f"mixdali/worlds/compiled/{name}.py": {"llvmlite", "numba", "numpy"}
        for name in ("memory", "pixels", "forms", "boxes", "layers", "machine")
    },
    "pipelines": {DALI, "numpy", "PIL"},
    "pipelines/show/pictures.py": {"matplotlib", "numpy"},
    "pipelines/augment/resampling.py": {DALI, "llvmlite", "numba", "numpy"},
    **{f"pipelines/augment/{name}.py": set() for name in ("__init__", "decoding", "policies", "sizes")},
    "pipelines/bench/cli.py": {"matplotlib", "rich"},
    "pipelines/bench/report.py": {"matplotlib", "rich"},
    "pipelines/bench/scaling_report.py": {"matplotlib", "numpy", "rich"},
    # These run in processes of their own, perhaps in another environment.
    "pipelines/bench/child.py": set(),
    "pipelines/bench/contestants/tensors.py": {TORCH, "numpy"},
    "pipelines/bench/contestants/vision.py": {TORCH, "torchvision"},
    "pipelines/bench/contestants/timm_loader.py": {TORCH, "timm"},
    "pipelines/bench/contestants/ffcv_loader.py": {TORCH, "torchvision", "numpy", "ffcv"},
}
TOPS = ("mixdali", "pipelines", "train")
SECOND_NAME = Path("mixdali/pipelines.py")  # it stands for what it imports, and nobody here calls that by this name
FILES = [path.relative_to(ROOT) for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))]
FILES.remove(SECOND_NAME)
# Folders whose files are entries of one kind; any other holds a dozen at most.
CATALOGUES = {"mixdali/methods", "train/evaluate/parts", "train/objectives", "train/recipes", "train/study/studies"}


def imported_from(node: ast.ImportFrom, path: Path) -> str:
    """The module that a file's `from ... import` speaks of, by its full name."""
    if not node.level:
        return node.module or ""
    around = path.parent.parts[: len(path.parts) - node.level]
    return ".".join([*around, *([node.module] if node.module else [])])


parsed = cache(ast.parse)


def imports(path: Path, everywhere: bool) -> set[str]:
    """Modules imported by a file of the project: at its top, or also inside its functions."""
    tree = parsed((ROOT / path).read_text())
    found = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(imported_from(node, path))
    return found


def package(module: str) -> str:
    return DALI if module.startswith(DALI) else module.partition(".")[0]


def place_of(path: Path) -> str:
    """The entry of a table that speaks of a file: its own, or that of the nearest folder around it."""
    return str(path) if str(path) in ORDER else str(path.parent)


@cache
def modules() -> dict[str, Path]:
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def arrows(path: Path, text: str, known: dict[str, Path]) -> set[Path]:
    """The files of the project that a text imports, wherever in it, if it stands at that path."""
    found = set()
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Import):
            found |= {known[alias.name] for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and (module := imported_from(node, path)) in known:
            found |= {known.get(f"{module}.{alias.name}", known[module]) for alias in node.names}
    return found


def against_the_order(path: Path, text: str) -> list[str]:
    """The imports of a file that the order forbids."""
    own = ORDER.index(place_of(path))
    found = []
    for other in arrows(path, text, modules()):
        # A folder's `__init__` is its door: it may hand out what lies within, at any depth.
        opens = path.name == "__init__.py" and other.is_relative_to(path.parent)
        if ORDER.index(place_of(other)) > own and not opens:
            found.append(f"{path} imports {other}")
    return found


def circles() -> list[set[Path]]:
    """Files that import each other, in a ring of any length."""
    known = modules()
    after = {path: arrows(path, (ROOT / path).read_text(), known) - {path} for path in FILES}
    reached = {path: set(others) for path, others in after.items()}
    for middle in FILES:
        for path in FILES:
            if middle in reached[path]:
                reached[path] |= reached[middle]
    return [{other for other in reached[path] if path in reached[other]} for path in FILES if path in reached[path]]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_one_way(path: Path) -> None:
    assert against_the_order(path, (ROOT / path).read_text()) == []


def test_an_arrow_against_the_order_is_found() -> None:
    path = Path("train/attacks/pgd.py")
    planted = "def later():\n    from train.loop.epochs import fit\n"
    assert against_the_order(path, planted) == ["train/attacks/pgd.py imports train/loop/epochs.py"]
    assert against_the_order(Path("mixdali/plan.py"), "from mixdali.methods import cutmix\n")
    assert against_the_order(Path("pipelines/sources/files.py"), "import pipelines.imagenet\n")
    assert not against_the_order(Path("train/loop/epochs.py"), "from train.attacks.pgd import PGD\n")


@pytest.mark.parametrize(
    ("path", "planted", "against"),
    [
        ("pipelines/sources/files.py", "from .. import imagenet", "pipelines/imagenet.py"),
        ("pipelines/sources/files.py", "from ..bench.race import run", "pipelines/bench/race.py"),
        ("pipelines/augment/color.py", "def later():\n    from ..preview import main", "pipelines/preview.py"),
        ("pipelines/cifar.py", "from .bench import rows", "pipelines/bench/rows.py"),
        ("pipelines/bench/contestants/__init__.py", "from .ours import batches", None),
        ("pipelines/bench/contestants/ours.py", "from ...sources.source import Source", None),
        ("pipelines/sources/files.py", "from .source import Source", None),
    ],
)
def test_so_is_one_of_a_relative_import(path: str, planted: str, against: str | None) -> None:
    expected = [] if against is None else [f"{path} imports {against}"]
    assert against_the_order(Path(path), planted) == expected


def by_name(path: Path) -> set[str]:
    """What a file imports by its full name and not by its place."""
    nodes = list(ast.walk(parsed((ROOT / path).read_text())))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    of = [node for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return found | {f"{node.module}.{alias.name}" for node in of for alias in node.names}


def test_the_pipelines_know_each_other_by_place_so_that_their_folder_may_lie_in_another() -> None:
    for path in FILES:
        names = {"mixdali.pipelines"} | ({"pipelines"} if path.parts[0] == "pipelines" else set())
        assert [one for one in by_name(path) if any(f"{one}.".startswith(f"{name}.") for name in names)] == [], path


def test_no_files_import_each_other() -> None:
    # `worlds` hands data to the world it belongs to, each of which is imported when it is first met.
    door = Path("mixdali/worlds/__init__.py")
    assert [ring for ring in circles() if door not in ring] == []


def test_every_room_has_its_place_and_every_place_is_a_room() -> None:
    assert {place_of(path) for path in FILES} == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


def test_a_folder_tells_what_it_holds_at_a_glance() -> None:
    counts = Counter(str(path.parent) for path in FILES if path.name not in ("__init__.py", "__main__.py"))
    assert {folder: count for folder, count in counts.items() if count > 12 and folder not in CATALOGUES} == {}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_import_only_the_packages_of_their_place(path: Path) -> None:
    top = path.parts[0]
    if top != "train":
        allowed = ALLOWED.get(str(path), ALLOWED.get(str(path.parent), ALLOWED[top]))
        used = {package(module) for module in imports(path, everywhere=False)}
        assert used - set(sys.stdlib_module_names) <= allowed | set(TOPS)
    else:
        assert DALI not in {package(module) for module in imports(path, everywhere=True)}


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT)


def test_importing_mixdali_loads_no_framework() -> None:
    done = run(
        "import sys, mixdali; mixdali.Choose([mixdali.MixUp(), mixdali.CutMix()]);"
        "print([name for name in ('torch', 'numpy', 'nvidia.dali', 'PIL') if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_importing_mixdali_takes_under_a_fifth_of_a_second() -> None:
    code = "import time; start = time.process_time(); import mixdali; print(time.process_time() - start)"
    assert min(float(run(code).stdout) for _ in range(5)) < 0.2


def test_without_dali_the_message_names_the_extra() -> None:
    block = "import sys; sys.modules['nvidia.dali'] = None; "
    assert run(block + "import mixdali").returncode == 0
    done = run(block + "import pipelines.cifar")
    assert "pip install 'mixdali[cuda13]'" in done.stderr.strip().splitlines()[-1]


def test_mixing_tensors_needs_no_dali() -> None:
    done = run(
        "import sys; sys.modules['nvidia.dali'] = None; import torch, mixdali;"
        "images, targets = mixdali.CutMix()(torch.rand(4, 3, 8, 8), mixdali.one_hot(torch.arange(4), 4));"
        "print(tuple(images.shape), tuple(targets.shape))"
    )
    assert done.stdout.strip() == "(4, 3, 8, 8) (4, 4)", done.stderr
