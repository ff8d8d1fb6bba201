"""Who may import whom, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DALI, TORCH = "nvidia.dali", "torch"

# What each place may import at the top of a file, beside the standard library and its own package.
ALLOWED = {
    "mixdali": set(),
    "mixdali/worlds/tensor.py": {TORCH},
    "mixdali/worlds/operators.py": {"numpy"},
    "mixdali/worlds/uniforms.py": {"numpy"},
    "mixdali/worlds/graph.py": {DALI, "numpy"},
    "mixdali/worlds/graph_draws.py": {DALI, "numpy"},
    "mixdali/worlds/graph_plan.py": {DALI, "numpy"},
    "mixdali/worlds/dynamic.py": {DALI, "numpy"},
    "mixdali/worlds/compiled": {DALI, "llvmlite", "numba", "numpy"},
    **{
        f"mixdali/worlds/compiled/{name}.py": {"llvmlite", "numba", "numpy"}
        for name in ("memory", "pixels", "boxes", "layers", "machine")
    },
    "pipelines": {DALI, "mixdali", "numpy", "PIL"},
    "pipelines/pictures.py": {"matplotlib", "mixdali", "numpy"},
    "pipelines/resampling.py": {DALI, "llvmlite", "mixdali", "numba", "numpy"},
    "pipelines/bench/cli.py": {"matplotlib", "rich"},
    "pipelines/bench/report.py": {"matplotlib", "rich"},
    "pipelines/bench/scaling_report.py": {"matplotlib", "numpy", "rich"},
    # These run in processes of their own, perhaps in another environment.
    "pipelines/bench/child.py": set(),
    "pipelines/bench/contestants/tensors.py": {TORCH, "mixdali", "numpy"},
    "pipelines/bench/contestants/vision.py": {TORCH, "torchvision"},
    "pipelines/bench/contestants/timm_loader.py": {TORCH, "timm"},
    "pipelines/bench/contestants/ffcv_loader.py": {TORCH, "torchvision", "numpy", "ffcv"},
    "train": None,  # anything but DALI
}


def imports(path: Path, everywhere: bool) -> set[str]:
    """Modules imported by a file: at its top, or also inside its functions."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def package(module: str) -> str:
    return DALI if module.startswith(DALI) else module.partition(".")[0]


@pytest.mark.parametrize(
    "path",
    [p.relative_to(ROOT) for top in ("mixdali", "pipelines", "train") for p in sorted((ROOT / top).rglob("*.py"))],
)
def test_imports_point_one_way(path: Path) -> None:
    top = path.parts[0]
    allowed = ALLOWED.get(str(path), ALLOWED.get(str(path.parent), ALLOWED[top]))
    used = {package(module) for module in imports(ROOT / path, everywhere=False)} - set(sys.stdlib_module_names)
    if allowed is not None:
        assert used <= allowed | {top}
    everywhere = {package(module) for module in imports(ROOT / path, everywhere=True)}
    later = {"mixdali": {"pipelines", "train"}, "pipelines": {"train"}, "train": {DALI}}[top]
    assert not everywhere & later


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
