"""A DALI output as a torch tensor."""

from typing import Any


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
