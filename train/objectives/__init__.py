"""What a training run minimises: one file an objective."""

from train.objectives.adversarial import Adversarial as Adversarial
from train.objectives.adversarial import AdversarialTraining as AdversarialTraining
from train.objectives.adversarial import LoggedAdversarialTraining as LoggedAdversarialTraining
from train.objectives.cross_entropy import CrossEntropy as CrossEntropy
from train.objectives.fast import FastAdversarialTraining as FastAdversarialTraining
from train.objectives.genlabel import GenLabel as GenLabel
from train.objectives.interpolated import InterpolatedAdversarialTraining as InterpolatedAdversarialTraining
from train.objectives.manifold_mixup import ManifoldMixup as ManifoldMixup
from train.objectives.mart import MART as MART
from train.objectives.mixupe import MixupE as MixupE
from train.objectives.multimix import MultiMix as MultiMix
from train.objectives.neighbor_consistency import NeighborConsistency as NeighborConsistency
from train.objectives.noisy_feature_mixup import NoisyFeatureMixup as NoisyFeatureMixup
from train.objectives.noisymix import NoisyMix as NoisyMix
from train.objectives.objective import Objective as Objective
from train.objectives.selective import SelectiveTraining as SelectiveTraining
from train.objectives.self_adaptive import SelfAdaptiveTraining as SelfAdaptiveTraining
from train.objectives.self_adaptive_trades import SelfAdaptiveTRADES as SelfAdaptiveTRADES
from train.objectives.self_supervised import SelfSupervisedTraining as SelfSupervisedTraining
from train.objectives.trades import TRADES as TRADES
from train.objectives.weight_perturbation import WeightPerturbation as WeightPerturbation
