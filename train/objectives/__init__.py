"""What a training run minimises: one file an objective."""

from train.objectives.cross_entropy import CrossEntropy as CrossEntropy
from train.objectives.objective import Objective as Objective
