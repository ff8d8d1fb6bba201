"""The claims of the twenty abstracts that a run can show, and what of this project shows them: a table, and no code."""

from docs.claims.attacks import AWP, GOWAL, IAT, OAT, REBUFFI, RICE, VIT
from docs.claims.declare import Claim, Comparison, System
from docs.claims.mixing import AUGRMIXAT, CUTMIX, GENLABEL, MANIFOLD, MIXUP, MIXUPE, MULTIMIX, NFM
from docs.claims.others import ADA, NCR, PREDICTOR, SAT, SMOOTHMIX

SYSTEMS = (
    MIXUP,
    MANIFOLD,
    MIXUPE,
    NFM,
    IAT,
    ADA,
    SAT,
    REBUFFI,
    CUTMIX,
    NCR,
    OAT,
    AUGRMIXAT,
    GENLABEL,
    SMOOTHMIX,
    RICE,
    GOWAL,
    AWP,
    VIT,
    MULTIMIX,
    PREDICTOR,
)

__all__ = ["SYSTEMS", "Claim", "Comparison", "System"]
