"""DALI outputs as torch tensors, and those as the fields of a batch."""

from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

from mixdali.plan import Plan


class Fields:
    """Named tuples from a tensor for each output. An output "plan.lam" is a part of the field `plan`.

    tables  for outputs that are places in a table: its entries are handed out.
    """

    def __init__(self, outputs: Sequence[str], tables: Mapping[str, Sequence[Any]]) -> None:
        self.outputs, self.tables = outputs, tables
        names = tuple(dict.fromkeys(name.partition(".")[0] for name in outputs))
        self._type = batch_type(names)

    def __call__(self, tensors: Sequence[Any]) -> Any:
        fields: dict[str, Any] = {}
        for name, tensor in zip(self.outputs, tensors, strict=True):
            field, _, part = name.partition(".")
            if part:
                fields.setdefault(field, {})[part] = tensor
            elif name in self.tables:
                fields[field] = [self.tables[name][place] for place in tensor.tolist()]
            else:
                fields[field] = tensor
        return self._type(**{k: Plan.of_parts(v) if isinstance(v, dict) else v for k, v in fields.items()})


_TYPES: dict[tuple[str, ...], Any] = {}


def batch_type(names: tuple[str, ...]) -> Any:
    """The named tuple with these fields, whose batches can be pickled: unpickling makes the type anew."""
    if names not in _TYPES:
        plain: Any = namedtuple("Batch", names)  # type: ignore[misc]

        def reduce(batch: Any) -> tuple[Any, ...]:
            return _batch, (names, tuple(batch))

        _TYPES[names] = type("Batch", (plain,), {"__slots__": (), "__reduce__": reduce})
    return _TYPES[names]


def _batch(names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return batch_type(names)(*values)


def to_torch(name: str, output: Any, copy: bool) -> Any:
    """A batch of one DALI output -> a tensor (N, ...) on the same device.

    name is for the error message. copy=False shares the memory, which the pipeline must then not reuse.
    `labels` come as int64, as torch's losses want them. ValueError if the samples differ in shape, or if `targets` are
    no rows of floats.
    """
    import torch

    if not output.is_dense_tensor():
        raise ValueError(
            f"output {name!r} has samples of different shapes, {output.shape()[:2]} ...; resize or pad them"
        )
    tensor = torch.from_dlpack(output.as_tensor())
    if name == "targets" and (tensor.ndim != 2 or not tensor.is_floating_point()):
        raise ValueError(
            f"targets must be probabilities (N, num_classes), got {tensor.dtype} {tuple(tensor.shape)}; "
            "use mixdali.one_hot(labels, num_classes) before the mix"
        )
    if name == "labels" and not tensor.is_floating_point():
        tensor = tensor.long()
    return tensor.clone() if copy else tensor
