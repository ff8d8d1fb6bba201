"""What a loader's state must have in common with the loader that takes it, and mistakes of a pipeline's author.

DALI does not serialise a pipeline with a compiled or a Python function in it, so its operators are read one by one.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

from mixdali.loading.operators import operators_of, python_parts
from mixdali.ranks import find_ranks

LONGEST = 40  # characters of a value that is kept as it is; of a longer one the digest is
# Arguments of readers that hold paths; together with the shard they say which data, not how they are drawn.
PATHS = "files|file_root|file_list|paths?|index_paths?|filenames|annotations_file|manifest_filepaths"
OF_THE_DATA = re.compile(f"shard_id|num_shards|{PATHS}")
ONLY_BYTES = ("dali", "seed", "batches_per_run")


def graph_facts(pipeline: Any) -> dict[str, Any]:
    """Every argument of every operator, and what its Python sources and functions say of themselves in `facts`.

    The names say where it stands: "readers.file 0: shard_id". Equal graphs have equal facts, in every process. Of paths
    only what comes after the folder they share counts: a folder that was moved holds the same data.
    """
    found: dict[str, Any] = {"seed": pipeline.seed}
    for place, operator in enumerate(operators_of(pipeline)):
        for name, value in operator.arguments.items():
            known = from_their_folder(value) if re.fullmatch(PATHS, name) else value
            found[f"{operator.kind} {place}: {name}"] = _short(known)
        found |= {f"source {place}: {name}": _short(str(value)) for name, value in operator.told.items()}
    return found


def from_their_folder(shown: str) -> str:
    """A path, or a list of paths as DALI shows it, from the folder that all of them share; as it is where not absolute.

    "[/data/train/cat/1.jpg, /data/train/dog/2.jpg, ]" is "[cat/1.jpg, dog/2.jpg, ]".
    """
    listed = shown.startswith("[") and shown.endswith(", ]")
    paths = re.split(r", (?=/)", shown[1:-3]) if listed else [shown]
    if not all(path.startswith("/") for path in paths):
        return shown
    start = len(os.path.commonpath([os.path.dirname(path) for path in paths]).rstrip("/")) + 1
    within = ", ".join(path[start:] for path in paths)
    return f"[{within}, ]" if listed else within


def is_random(pipeline: Any) -> bool:
    """Whether one epoch of a pipeline may differ from another; True also where a Python function does not say."""
    operators = operators_of(pipeline)
    return not operators or any(
        operator.random
        or (operator.python is not None and "seed" in getattr(operator.python, "facts", {"seed": "not told"}))
        or "True" in (operator.arguments.get("random_shuffle"), operator.arguments.get("shuffle_after_epoch"))
        for operator in operators
    )


def python_samples(pipeline: Any) -> list[tuple[int, int]]:
    """For each Python source that tells them: images in an epoch of its shard (`num_samples`), of all (`num_items`)."""
    told = [source for source in python_parts(pipeline) if isinstance(getattr(source, "num_samples", None), int)]
    return [(source.num_samples, getattr(source, "num_items", source.num_samples)) for source in told]


def check_counts(pipeline: Any, start: int | None, run: int) -> None:
    """ValueError if the epoch counters of a pipeline were told another first epoch or other batches of an epoch.

    start  the epoch it was made for; None: a bare pipeline, which may begin where it likes.
    run    batches that it runs in an epoch.
    """
    for first, batches in [source.counts for source in python_parts(pipeline) if hasattr(source, "counts")]:
        if start is not None and first != start:
            raise ValueError(
                f"the pipeline made for epoch {start} counts its epochs from {first}: pass "
                "epoch_counter(..., first=epoch), with the epoch that the function is told"
            )
        if batches is not None and batches != run:
            raise ValueError(f"epoch_counter's batches must be those that the pipeline runs, {run}, got {batches}")


def warn_unless_sharded(pipeline: Any) -> bool:
    """Warns if several processes run and a reader gives each of them all images. -> whether it did."""
    ranks = find_ranks()[1]
    alone = ranks > 1 and any(meta["number_of_shards"] == 1 for meta in pipeline.reader_meta().values())
    if alone:
        warnings.warn(
            f"{ranks} processes run, and the pipeline's reader is not sharded: each of them sees all images. Give it "
            "shard_id and num_shards",
            stacklevel=2,
        )
    return alone


def check_alike(state: Mapping[str, Any], here: Mapping[str, Any], *, exact: bool = True) -> None:
    """ValueError if a state is another loader's, naming the first fact that differs.

    exact  False: what makes only other bytes of the same data may differ, such as versions, seeds and operators.

    States from before there were `facts` and `images` tell neither: they are told by their outputs, sizes, seed and
    length, and by what DALI's checkpoint itself refuses.
    """
    for name, value in here.items():
        if (name not in state and name in ("facts", "images")) or (not exact and name in ONLY_BYTES):
            continue
        told: Mapping[str, Any] = state[name] if name == "facts" else {"": state.get(name)}
        found: Mapping[str, Any] = value if name == "facts" else {"": value}
        if name == "facts" and not exact:
            told, found = _of_the_data(told), _of_the_data(found)
        for fact in [*told, *found]:
            if told.get(fact) != found.get(fact):
                was, is_here = told.get(fact), found.get(fact)
                raise ValueError(f"the state is of another loader: its {fact or name} is {was!r}, here {is_here!r}")


def _of_the_data(facts: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The facts that do not depend on the operators, by names that do not tell the place in the graph.

    They are the loader's own, those that Python sources tell, but for their seeds, and which data a reader reads.
    """
    found: dict[str, list[Any]] = {}
    for name, value in facts.items():
        operator, _, argument = name.rpartition(": ")
        kind = operator.rpartition(" ")[0]
        told = argument != "seed" and (not operator or kind == "source")
        if told or ("reader" in kind.lower() and OF_THE_DATA.fullmatch(argument)):
            found.setdefault(f"{kind}: {argument}" if kind else argument, []).append(value)
    return found


def _short(value: str) -> str:
    """A value as it is, or how many it is and a digest."""
    if len(value) <= LONGEST:
        return value
    digest = hashlib.blake2b(value.encode(), digest_size=8).hexdigest()
    return f"{value.count(', ')} values ({digest})" if value.startswith("[") and value.endswith(", ]") else digest
