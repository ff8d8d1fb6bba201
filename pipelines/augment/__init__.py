"""Operators on images before they are mixed; what they are told is handed out here, and needs no DALI."""

from .decoding import DecoderHints as DecoderHints
from .policies import AutoAugment as AutoAugment
from .policies import Policy as Policy
from .policies import RandAugment as RandAugment
from .policies import ThreeAugment as ThreeAugment
from .policies import TrivialAugment as TrivialAugment
from .sizes import Progressive as Progressive
