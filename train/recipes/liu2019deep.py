"""Deep Gamblers: a bet on the classes of which a part may be kept, for a network that may say that it does not know.

Liu, Wang, Liang, Salakhutdinov, Morency and Ueda, "Deep Gamblers: Learning to Abstain with Portfolio Theory", NeurIPS
2019, arXiv:1907.00208.

The training is that of the code of selective Self-Adaptive Training, which compares with it: 300 epochs, half of the
rate every 25 of them, a hundred epochs of cross-entropy first, reward 2.2. `python -m train.selective` then says how
often the network is wrong where it answers. `response` is the same training with cross-entropy alone, whose network
rejects by its highest probability (softmax response: Geifman and El-Yaniv, NeurIPS 2017, arXiv:1705.08500).
"""

from dataclasses import replace

from train.objectives import CrossEntropy, GamblersLoss
from train.recipe import Origin
from train.recipes import baseline, huang2020selfadaptive

recipe = replace(
    huang2020selfadaptive.selective, paper="1907.00208", objective=GamblersLoss(reward=2.2, start=100), claim=None
)

response = replace(recipe, paper="1705.08500", objective=CrossEntropy())

# A third of the epochs are cross-entropy's, as in that code.
small = replace(huang2020selfadaptive.small_selective, paper=recipe.paper, objective=GamblersLoss(reward=2.2, start=7))

small_response = replace(baseline.small, paper=response.paper, ema_decay=None)

origin = Origin(
    code="LayneH/SAT-selective-cls at 2400129, loss.py and train.py, where Self-Adaptive Training's authors compare "
    "with it; its own authors' code was not at hand",
    from_paper=("data",),
    from_code=("num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective"),
    ours={"model": "theirs is VGG-16 with batch norm, which needs images of 224 pixels where torchvision has it"},
    variants={"response": Origin(from_code=("objective",), code="LayneH/SAT-selective-cls at 2400129, train.py")},
)
