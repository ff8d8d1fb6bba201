"""Networks by name; the first layer of each normalises, so a model takes images in [0, 1]."""

from train.models.answers import finite as finite
from train.models.answers import predicted as predicted
from train.models.build import build_model as build_model
from train.models.named import call_function as call_function
from train.models.named import is_function as is_function
from train.models.normalise import Normalise as Normalise
from train.models.preact_resnet import PreActResNet as PreActResNet
from train.models.weights import start_from as start_from
