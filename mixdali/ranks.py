"""Which of several processes this one is."""

import os
import sys
from typing import Any

from mixdali.checks import count

# What torchrun sets, and what SLURM sets in each task of a step: (rank, number of ranks).
VARIABLES = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))


def find_ranks() -> tuple[int, int]:
    """(rank, number of ranks): of torch.distributed where it is initialised, else of the environment, else (0, 1).

    ValueError for a variable of the environment that is no number, naming it.
    """
    distributed = sys.modules.get("torch.distributed")  # who has initialised it has loaded it
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    for rank, ranks in VARIABLES:
        if os.environ.get(rank):
            found = _number(rank)
            return found, max(found + 1, _number(ranks) if os.environ.get(ranks) else 1)
    return 0, 1


def rank_of(rank: int | None) -> int:
    """The rank that was told, else the one that is found."""
    return find_ranks()[0] if rank is None else rank


def share_of(shard: tuple[int, int] | None) -> tuple[int, int]:
    """(rank, number of ranks): the shard that was told, else the one that is found."""
    return find_ranks() if shard is None else shard


def check_rank(rank: Any) -> None:
    """ValueError for what is neither None nor a whole number from 0 up."""
    if rank is not None:
        count("rank", rank)


def _number(name: str) -> int:
    value = os.environ[name]
    if not value.isdecimal():
        raise ValueError(f"the environment's {name} must be a whole number from 0 up, got {value!r}; or pass the rank")
    return int(value)
