"""The operators of a DALI pipeline as plain values, in the form in which DALI shows their arguments."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Where functions lie in memory and where in a program an operator was made, which is another place in every process;
# and how the work is done, which changes no byte of it.
LEFT_OUT = re.compile(
    "_origin_stack_.*|run_fn|setup_fn|function_id|_display_name|_module|preserve_name|bytes_per_sample_hint|no_copy|"
    "prefetch_queue_depth|read_ahead|dont_use_mmap|use_o_direct|.*_memory_padding.*|"
    "preallocate_(width|height)_hint"
)


@dataclass(frozen=True)
class Operator:
    """kind       DALI's name of it, such as "readers__File".
    arguments  by name, as DALI writes them, with other operators as their places in the graph: "#3".
    python     its Python source or function; None if it has none.
    random     it takes a state of random draws, or DALI does not say.
    """

    kind: str
    arguments: Mapping[str, str]
    python: Any
    random: bool

    @property
    def told(self) -> Mapping[str, Any]:
        """What its Python source or function says of itself, in an attribute `facts`."""
        return getattr(self.python, "facts", {})


def operators_of(pipeline: Any) -> list[Operator]:
    """The operators in the order of the graph, built or not. Nothing where this DALI does not show them."""
    made = _made(pipeline)
    names = {operator.name: f"#{place}" for place, operator in enumerate(made)}
    return [_operator(operator, names) for operator in made]


def python_parts(pipeline: Any) -> list[Any]:
    """The Python sources and functions of a pipeline, each once."""
    return list({id(python): python for python in map(_python_of, _made(pipeline)) if python is not None}.values())


def _made(pipeline: Any) -> list[Any]:
    # Private names; where they are missing, what is known without them still tells most pipelines apart.
    if not getattr(pipeline, "_py_graph_built", True):
        pipeline._build_graph()
    return getattr(pipeline, "_ops", None) or []


def _operator(operator: Any, names: Mapping[str, str]) -> Operator:
    schema = getattr(getattr(operator, "_op", None), "_schema", None)
    kind, arguments = _arguments(str(operator.spec), names)
    return Operator(kind, arguments, _python_of(operator), schema is None or schema.HasRandomStateArg())


def _python_of(operator: Any) -> Any:
    source = getattr(getattr(operator._op, "_source_desc", None), "source", None)
    return source if source is not None else getattr(operator._op, "function", None)


def _arguments(spec: str, names: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    head, _, rest = spec.partition(":\n")
    wiring, _, listed = rest.partition("  Arguments:\n")
    for name, place in sorted(names.items(), key=lambda item: -len(item[0])):
        wiring = wiring.replace(name, place)
    # a value may have line breaks of its own: they begin no line of this form
    parts = re.split(r"^    (\w+): ", listed, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], (value.rstrip("\n") for value in parts[1::2]), strict=True)
    kept = {name: value for name, value in pairs if not LEFT_OUT.fullmatch(name)}
    return head.removeprefix("OpSpec for "), {"inputs": " ".join(wiring.split()), **kept}
