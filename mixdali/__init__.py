"""The mixing stage for NVIDIA DALI: images and labels mixed together, inside the pipeline.

    images, targets = mixdali.CutMix(alpha=1.0)(images, mixdali.one_hot(labels, num_classes))

The same line works on the nodes of a DALI graph, on the batches of DALI's dynamic mode and on torch tensors. Importing
this package loads neither DALI nor torch.
"""

from mixdali.choose import Choose as Choose
from mixdali.collate import collate as collate
from mixdali.cutmix import CutMix as CutMix
from mixdali.dataset import DatasetSource as DatasetSource
from mixdali.loader import Loader as Loader
from mixdali.losses import mixed_accuracy as mixed_accuracy
from mixdali.losses import mixed_loss as mixed_loss
from mixdali.mix import Mix as Mix
from mixdali.mixed import mixed as mixed
from mixdali.mixup import MixUp as MixUp
from mixdali.pixels import to_float as to_float
from mixdali.plan import Plan as Plan
from mixdali.seeds import derive_seed as derive_seed
from mixdali.targets import one_hot as one_hot

__version__ = "0.1.0"
