"""What a pipeline is made of, as plain values: so that two can be told apart, and mistakes of its author be found.

DALI does not serialise a pipeline with a compiled or a Python function in it, so it is read operator by operator, in
the form in which DALI shows an operator's arguments.
"""

import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from mixdali.ranks import find_ranks

LONGEST = 40  # characters of a value that is kept as it is; of a longer one the digest is
# Where functions lie in memory and where in a program an operator was made, which is another place in every process;
# and how the work is done, which changes no byte of it.
LEFT_OUT = re.compile(
    "_origin_stack_.*|run_fn|setup_fn|function_id|_display_name|_module|preserve_name|bytes_per_sample_hint|no_copy|"
    "prefetch_queue_depth|read_ahead|dont_use_mmap|use_o_direct|.*_memory_padding.*"
)
# Of a reader and in a state, what says which data and how many of them, not how they are drawn or made into batches.
OF_THE_DATA = re.compile("shard_id|num_shards|files|file_root|file_list|path|index_path")
ONLY_BYTES = ("dali", "seed", "batches_per_run")


def graph_facts(pipeline: Any) -> dict[str, Any]:
    """Every argument of every operator, and what its Python sources and functions say of themselves in `facts`.

    The names say where it stands: "readers.file 0: shard_id". Equal graphs have equal facts, in every process.
    """
    # A private name; where it is missing, what follows from the definition still tells most pipelines apart.
    if not getattr(pipeline, "_py_graph_built", True):
        pipeline._build_graph()
    operators = getattr(pipeline, "_ops", None) or []
    names = {operator.name: f"#{place}" for place, operator in enumerate(operators)}
    found: dict[str, Any] = {"seed": pipeline.seed}
    for place, operator in enumerate(operators):
        kind, arguments = _arguments(str(operator.spec), names)
        found |= {f"{kind} {place}: {name}": _short(value) for name, value in arguments}
        told = getattr(_python_of(operator), "facts", {})
        found |= {f"source {place}: {name}": _short(str(value)) for name, value in told.items()}
    return found


def _python_of(operator: Any) -> Any:
    """The Python source or function of an operator; None if it has none."""
    source = getattr(getattr(operator._op, "_source_desc", None), "source", None)
    return source if source is not None else getattr(operator._op, "function", None)


def is_random(pipeline: Any) -> bool:
    """Whether one epoch of a pipeline may differ from another; True also where a Python function does not say."""
    facts = graph_facts(pipeline)
    if any(re.search(r": (random_shuffle|shuffle_after_epoch)$", name) and facts[name] == "True" for name in facts):
        return True
    for operator in getattr(pipeline, "_ops", None) or [None]:
        schema = getattr(getattr(operator, "_op", None), "_schema", None)
        if schema is None or schema.HasRandomStateArg():
            return True
        if _python_of(operator) is not None and "seed" in getattr(_python_of(operator), "facts", {"seed": "not told"}):
            return True
    return False


def python_samples(pipeline: Any) -> list[tuple[int, int]]:
    """For each Python source that tells them: images in an epoch of its shard (`num_samples`), of all (`num_items`)."""
    sources = {id(source): source for source in map(_python_of, getattr(pipeline, "_ops", None) or [])}
    told = [source for source in sources.values() if isinstance(getattr(source, "num_samples", None), int)]
    return [(source.num_samples, getattr(source, "num_items", source.num_samples)) for source in told]


def check_counts(pipeline: Any, start: int | None, run: int) -> None:
    """ValueError if the epoch counters of a pipeline were told another first epoch or other batches of an epoch.

    start  the epoch it was made for; None: a bare pipeline, which may begin where it likes.
    run    batches that it runs in an epoch.
    """
    sources = map(_python_of, getattr(pipeline, "_ops", None) or [])
    for first, batches in [source.counts for source in sources if hasattr(source, "counts")]:
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


def _arguments(spec: str, names: Mapping[str, str]) -> tuple[str, Iterator[tuple[str, str]]]:
    """Kind and arguments of an operator, with other operators' names as their places."""
    head, _, rest = spec.partition(":\n")
    kind = head.removeprefix("OpSpec for ")
    wiring, _, listed = rest.partition("  Arguments:\n")
    for name, place in sorted(names.items(), key=lambda item: -len(item[0])):
        wiring = wiring.replace(name, place)
    # a value may have line breaks of its own: they begin no line of this form
    parts = re.split(r"^    (\w+): ", listed, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], (value.rstrip("\n") for value in parts[1::2]), strict=True)
    return kind, iter(
        [("inputs", " ".join(wiring.split())), *(pair for pair in pairs if not LEFT_OUT.fullmatch(pair[0]))]
    )


def _short(value: str) -> str:
    """A value as it is, or how many it is and a digest."""
    if len(value) <= LONGEST:
        return value
    digest = hashlib.blake2b(value.encode(), digest_size=8).hexdigest()
    return f"{value.count(', ')} values ({digest})" if value.startswith("[") and value.endswith(", ]") else digest
