"""Labels to targets."""

from typing import TypeVar

from mixdali.checks import fraction, whole_number
from mixdali.worlds import world_of

Labels = TypeVar("Labels")


def one_hot(labels: Labels, num_classes: int, smoothing: float = 0.0) -> Labels:
    """Class indices (N,) -> probabilities (N, num_classes), float32, each row summing to one.

    smoothing in [0, 1] moves that share of the probability to all classes alike: the label's class gets
    1 - smoothing + smoothing / num_classes, every other one smoothing / num_classes (Szegedy et al., "Rethinking the
    Inception Architecture for Computer Vision", CVPR 2016, section 7).

    num_classes: an int, also numpy's or torch's.
    labels: a torch tensor of integers of any width, or a node of a DALI graph or a batch of its dynamic mode, one
    integer an image. A label outside [0, num_classes) is an error: ValueError, but in a graph DALI's own when the graph
    runs.
    """
    num_classes = whole_number("num_classes", num_classes)
    fraction("smoothing", smoothing)
    off = smoothing / num_classes
    world = world_of(labels)
    return world.call(world.one_hot, labels, num_classes, 1.0 - smoothing + off, off)
