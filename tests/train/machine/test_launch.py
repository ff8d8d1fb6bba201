"""How a process finds its place among those of a run."""

from __future__ import annotations

import pytest

from train.machine.launch import Launch, find_launch, find_rank, first_node

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "29500",
}
SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "7",
    "SLURM_STEP_NUM_TASKS": "7",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4,3",
    "SLURM_STEP_NODELIST": "gpu[03-05,9],login1",
    "SLURM_JOB_NODELIST": "login1,gpu[03-05,9]",
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
}


def without(environment: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in names}


def test_alone_is_alone() -> None:
    assert find_launch({}) == Launch() == find_launch({"RANK": "0", "WORLD_SIZE": "1"})
    assert find_launch({"OMPI_COMM_WORLD_SIZE": "1", "SLURM_NTASKS": "8"}) == Launch()


def test_torchrun_and_srun_give_every_process_its_place() -> None:
    assert find_launch(TORCHRUN) == Launch(5, 8, 1, 4, "a", 29500)
    assert find_launch(SLURM) == Launch(5, 7, 1, 3, "gpu03", 15000 + 4711)
    # torchrun may itself be a task of SLURM.
    assert find_launch({**SLURM, **TORCHRUN}) == find_launch(TORCHRUN)


def test_all_tasks_of_a_step_meet_at_one_place_and_two_steps_at_two() -> None:
    places = {
        (launch.address, launch.port)
        for launch in (find_launch({**SLURM, "SLURM_PROCID": str(rank)}) for rank in range(7))
    }
    assert len(places) == 1
    assert find_launch({**SLURM, "SLURM_STEP_ID": "1"}).port != find_launch(SLURM).port
    given = find_launch({**SLURM, "MASTER_ADDR": "b", "MASTER_PORT": "1234"})
    assert (given.address, given.port) == ("b", 1234)
    assert all(1024 < find_launch({**SLURM, "SLURM_JOB_ID": job}).port < 32768 for job in ("1", "987654321"))


def test_a_task_that_sees_its_own_gpu_alone_takes_that() -> None:
    assert not find_launch(SLURM).own_gpu
    assert find_launch({**SLURM, "SLURM_GPUS_PER_TASK": "1"}).own_gpu


def test_a_batch_script_of_slurm_is_one_process() -> None:
    script = {**without(SLURM, "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS"), "SLURM_PROCID": "0"}
    assert find_launch(script) == Launch()
    assert find_launch({**SLURM, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) == Launch()
    # No script has this rank.
    assert find_launch({**script, "SLURM_PROCID": "5"}).size == 7


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        *(
            (without(TORCHRUN, name), f"{name} is not set; start it by torchrun or srun")
            for name in ("RANK", "LOCAL_RANK")
        ),
        (without(TORCHRUN, "WORLD_SIZE"), "RANK=5 tells of several processes, but WORLD_SIZE is not set"),
        (without(TORCHRUN, "MASTER_ADDR"), "MASTER_ADDR is not set"),
        ({**TORCHRUN, "RANK": "8"}, "RANK=8 must be below its WORLD_SIZE=8"),
        ({**TORCHRUN, "WORLD_SIZE": "many"}, "WORLD_SIZE must be a whole number from 0 up, got 'many'"),
        (without(SLURM, "SLURM_LOCALID"), "SLURM_PROCID=5 tells of 7 tasks, but SLURM_LOCALID is not set"),
        (without(SLURM, "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"), "but SLURM_STEP_NODELIST is not set"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "OMPI_COMM_WORLD_SIZE tells of 4 processes, which mpirun started; start it by"),
    ],
)
def test_signs_of_several_processes_that_cannot_meet_are_refused_in_one_line(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^[^\n]*{message}[^\n]*$"):
        find_launch(environment)
    assert find_rank(environment) in (0, 5, 8)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n1", "n1"),
        ("n1,n2", "n1"),
        ("n[7,9]", "n7"),
        ("n[007-010],m", "n007"),
        ("r[1-2]n[3-4]-x,a", "r1n3-x"),
        ("", ""),
    ],
)
def test_the_first_machine_of_a_list(nodes: str, first: str) -> None:
    assert first_node(nodes) == first
