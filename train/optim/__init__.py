"""What a step of the optimiser does: its rule, its rate, the average of the weights."""

from train.optim.from_timm import LAMB as LAMB
from train.optim.from_timm import Lion as Lion
from train.optim.from_timm import Muon as Muon
from train.optim.optimizers import SGD as SGD
from train.optim.optimizers import AdamW as AdamW
from train.optim.optimizers import Optimizer as Optimizer
from train.optim.schedules import Cosine as Cosine
from train.optim.schedules import EpochCosine as EpochCosine
from train.optim.schedules import OneCycle as OneCycle
from train.optim.schedules import Schedule as Schedule
from train.optim.schedules import Steps as Steps
