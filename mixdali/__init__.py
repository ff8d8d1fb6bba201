"""The mixing stage for NVIDIA DALI: images and labels mixed together, inside the pipeline.

    images, targets = mixdali.CutMix(alpha=1.0)(images, mixdali.one_hot(labels, num_classes))

The same line works on the nodes of a DALI graph, on the batches of DALI's dynamic mode and on torch tensors. Importing
this package loads neither DALI nor torch.
"""

from mixdali.along import mix_boxes as mix_boxes
from mixdali.along import mix_masks as mix_masks
from mixdali.draws import Draws as Draws
from mixdali.loading.dataset import DatasetSource as DatasetSource
from mixdali.loading.join import Joined as Joined
from mixdali.loading.loader import Loader as Loader
from mixdali.losses import mixed_accuracy as mixed_accuracy
from mixdali.losses import mixed_loss as mixed_loss
from mixdali.methods.boxes import BoxMix as BoxMix
from mixdali.methods.boxes import clipped_box as clipped_box
from mixdali.methods.boxes import inside_box as inside_box
from mixdali.methods.boxes import place_of as place_of
from mixdali.methods.choose import Choose as Choose
from mixdali.methods.cutmix import CutMix as CutMix
from mixdali.methods.cutmix import CutMixMinMax as CutMixMinMax
from mixdali.methods.dirichlet import DirichletMixUp as DirichletMixUp
from mixdali.methods.erasing import Cutout as Cutout
from mixdali.methods.erasing import RandomErasing as RandomErasing
from mixdali.methods.fmix import FMix as FMix
from mixdali.methods.gmix import GMix as GMix
from mixdali.methods.gridmix import GridMix as GridMix
from mixdali.methods.hmix import HMix as HMix
from mixdali.methods.masks import MaskMix as MaskMix
from mixdali.methods.mixup import MixUp as MixUp
from mixdali.methods.mosaic import Mosaic as Mosaic
from mixdali.methods.noisy import Noisy as Noisy
from mixdali.methods.resizemix import ResizeMix as ResizeMix
from mixdali.methods.smoothmix import SmoothMix as SmoothMix
from mixdali.mix import Mix as Mix
from mixdali.mix import PairMix as PairMix
from mixdali.pixels import to_float as to_float
from mixdali.plan import Layer as Layer
from mixdali.plan import Plan as Plan
from mixdali.schedule import Alpha as Alpha
from mixdali.schedule import Fixed as Fixed
from mixdali.schedule import Ramp as Ramp
from mixdali.schedule import check_alpha as check_alpha
from mixdali.schedule import epoch_counter as epoch_counter
from mixdali.seeds import derive_seed as derive_seed
from mixdali.targets import one_hot as one_hot
from mixdali.worlds import World as World
from mixdali.wrapping.collate import collate as collate
from mixdali.wrapping.mixed import mixed as mixed

__version__ = "0.1.0"
