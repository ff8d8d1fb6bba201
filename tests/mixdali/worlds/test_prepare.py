"""What is compiled, when, and who is told."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

pytest.importorskip("numba", reason="what is compiled is for numba, the extra mixdali[fast]")
ROOT = Path(__file__).parents[3]


def run(program: str, kept: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(kept), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", dedent(program)], env=environment, cwd=kept.parent, capture_output=True, text=True
    )


GRAPH = """
    import numpy as np
    from nvidia.dali import fn, pipeline_def
    import mixdali

    @pipeline_def(batch_size=2, num_threads=1, device_id=None, seed=1)
    def pipeline():
        images = fn.external_source(source=lambda i: np.zeros((2, 4, 4, 3), np.uint8), batch=True, layout="HWC")
        return mixdali.to_float(images), mixdali.to_float(images, mean=0.5)

    pipeline().run()
    """


def test_only_what_a_graph_uses_is_compiled_once_and_one_line_says_so(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first, second = run(GRAPH, kept), run(GRAPH, kept)
    assert first.returncode == second.returncode == 0, first.stderr
    assert first.stderr.count("mixdali: compiling for this machine") == 1
    assert second.stderr == ""
    functions = {re.sub(r"-\d+\..*", "", path.name) for path in kept.rglob("*.nbi")}
    assert {name.partition(".")[2].rpartition(".")[2] for name in functions} == {
        *("_run_to_float", "run", "_shape_of_output", "_shape_of_form")
    }


def test_prepare_compiles_a_module_ahead_and_says_where_it_lies(tmp_path: Path) -> None:
    kept, module = tmp_path / "kept", tmp_path / "few.py"
    module.write_text("from mixdali.worlds.compiled.targets import _scalars\n")
    program = """
        import sys
        sys.path.insert(0, ".")
        import mixdali.prepare

        mixdali.prepare.PARTS = ()
        if __name__ == "__main__":
            mixdali.prepare.main(["few"])
        """
    (tmp_path / "program.py").write_text(dedent(program))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(kept), "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "program.py"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert re.fullmatch(rf"compiled in \d+ s, kept in {re.escape(str(kept))}\S*\n", done.stdout)
    assert [path.name.partition("-")[0] for path in kept.rglob("*.nbi")] == ["targets._scalars"]


def test_prepare_knows_all_that_is_compiled() -> None:
    from mixdali.prepare import COMPILED, PARTS

    folder = ROOT / "mixdali" / "worlds" / "compiled"
    having = {path.stem for path in folder.glob("*.py") if "@compiled(" in path.read_text()}
    assert {name.partition(":")[0] for part in PARTS for name in part} == {f"{COMPILED}.{name}" for name in having}


def test_importing_prepare_loads_neither_numba_nor_dali(tmp_path: Path) -> None:
    done = run("import sys, mixdali.prepare; print({'numba', 'nvidia.dali'} & set(sys.modules))", tmp_path / "kept")
    assert done.stdout == "set()\n", done.stderr
