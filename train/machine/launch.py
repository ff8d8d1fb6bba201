"""How this process was started: alone, by torchrun, or as a task of SLURM."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
MPI = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
# SLURM then shows every task its own GPUs alone.
BOUND = ("SLURM_GPUS_PER_TASK", "SLURM_TRES_PER_TASK", "SLURM_GPU_BIND")
FIRST_PORT, NUM_PORTS = 15000, 16384
INSTEAD = "start it by torchrun or srun, or set RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT"


@dataclass(frozen=True)
class Launch:
    """This process's place among those of its run, and where they meet."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among the processes of this machine."""
    local_size: int = 1
    address: str = ""
    """Where rank 0 listens, in several processes."""
    port: int = 0
    own_gpu: bool = False
    """Every process sees a GPU of its own as the first and only one."""


def find_launch(environment: Mapping[str, str]) -> Launch:
    """What the environment says.

    torchrun's variables come first, since it may itself be a task of SLURM. A batch script of SLURM is one process,
    whatever number of tasks its job may start with srun.

    Raises:
        ValueError: it tells of several processes, but not enough for them to meet.
    """
    if environment.get("RANK") or _number(environment, "WORLD_SIZE", 1) > 1:
        return _by_torchrun(environment)
    if environment.get("SLURM_PROCID") and _slurm_tasks(environment) > 1:
        return _by_slurm(environment)
    for name in MPI:
        if _number(environment, name, 1) > 1 and not environment.get("SLURM_PROCID"):
            raise ValueError(
                f"the environment's {name} tells of {environment[name]} processes, which mpirun started; {INSTEAD}"
            )
    return Launch()


def find_rank(environment: Mapping[str, str]) -> int:
    """This process's rank, for messages: 0 where the environment cannot be understood."""
    try:
        return find_launch(environment).rank
    except ValueError:
        rank = environment.get("RANK") or environment.get("SLURM_PROCID") or "0"
        return int(rank) if rank.isdecimal() else 0


def _by_torchrun(environment: Mapping[str, str]) -> Launch:
    if environment.get("WORLD_SIZE") == "1" and environment.get("RANK") == "0":
        return Launch()
    if missing := [name for name in TORCHRUN if not environment.get(name)]:
        given = next(name for name in TORCHRUN if environment.get(name))
        raise ValueError(
            f"the environment's {given}={environment[given]} tells of several processes, but {missing[0]} is not set; "
            f"{INSTEAD}"
        )
    rank, size, local_rank = (_number(environment, name, 0) for name in TORCHRUN[:3])
    if rank >= size:
        raise ValueError(f"the environment's RANK={rank} must be below its WORLD_SIZE={size}")
    local_size = _number(environment, "LOCAL_WORLD_SIZE", local_rank + 1)
    port = _number(environment, "MASTER_PORT", 0)
    return Launch(rank, size, local_rank, local_size, environment["MASTER_ADDR"], port)


def _by_slurm(environment: Mapping[str, str]) -> Launch:
    rank, size = _number(environment, "SLURM_PROCID", 0), _slurm_tasks(environment)
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST") or ""
    address = environment.get("MASTER_ADDR") or first_node(nodes)
    job, step = (_number(environment, name, 0) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    for name, known in (("SLURM_STEP_NODELIST", address), ("SLURM_LOCALID", environment.get("SLURM_LOCALID"))):
        if not known:
            raise ValueError(
                f"the environment's SLURM_PROCID={rank} tells of {size} tasks, but {name} is not set; {INSTEAD}"
            )
    own_port = FIRST_PORT + (job + 101 * step) % NUM_PORTS
    local_rank = _number(environment, "SLURM_LOCALID", 0)
    return Launch(
        rank,
        size,
        local_rank,
        _tasks_here(environment, local_rank),
        address,
        _number(environment, "MASTER_PORT", own_port),
        own_gpu=any(environment.get(name) for name in BOUND),
    )


def _slurm_tasks(environment: Mapping[str, str]) -> int:
    """Tasks of the step that srun started; 1 in a batch script, which has the tasks of its job but is no step."""
    if environment.get("SLURM_STEP_NUM_TASKS"):
        return _number(environment, "SLURM_STEP_NUM_TASKS", 1)
    if environment.get("SLURM_STEP_ID", "").isdecimal() or _number(environment, "SLURM_PROCID", 0):
        return _number(environment, "SLURM_NTASKS", 1)
    return 1


def _tasks_here(environment: Mapping[str, str], local_rank: int) -> int:
    """Tasks on this machine, from lists such as 4(x2),3: four on each of two machines and three on another."""
    counts = []
    text = environment.get("SLURM_STEP_TASKS_PER_NODE") or environment.get("SLURM_TASKS_PER_NODE") or ""
    for tasks, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(tasks)] * int(times or 1)
    node = _number(environment, "SLURM_NODEID", 0)
    return counts[node] if node < len(counts) else local_rank + 1


def first_node(nodes: str) -> str:
    """The first name of SLURM's list of machines: `gpu03` of `gpu[03-05,9],login1`."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first.group() if first else "")


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not value.isdecimal():
        raise ValueError(f"the environment's {name} must be a whole number from 0 up, got {value!r}")
    return int(value)
