"""Processes that have worked together end."""

from pathlib import Path

from tests.helpers.processes import torchrun

WORKER = """
from train.machine.distributed import open_world

with open_world("cpu") as world:
    for _ in range(8):
        assert world.gather(world.rank) == [0, 1, 2, 3]
print("ended")
"""


def test_processes_leave_each_other_right_after_they_have_spoken(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    done = torchrun(str(tmp_path / "worker.py"), processes=4)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ended") == 4
