"""MultiMix: mix the embeddings of a whole batch, at the last layer, into many more than it has images.

Venkataramanan, Kijak, Amsaleg and Avrithis, "Embedding Space Interpolation Beyond Mini-Batch, Beyond Pairs and Beyond
Examples", NeurIPS 2023, arXiv:2311.05538.

`dense` mixes at every position of the last map; `distilled` adds the teacher of the first version (arXiv:2206.14868).
SGD without Nesterov, weight decay 1e-4, batch 128, 2000 epochs with a tenth of the rate from 500, 1000 and 1500 on are
the settings of the authors' code for AlignMixup, which the paper follows.
Differs: no code of the paper is public. That the last layer's whole batch is mixed in many tuples, and how attention
weighs the dense form, is the paper's; 1000 tuples, Dirichlet parameters from 0.5 to 2, input mixup in half of the steps
and the teacher's share of one half are our reading of it, and its network is another ResNet-18.
"""

from dataclasses import replace

from train.objectives import MultiMix
from train.optim.schedules import Steps
from train.recipes import baseline

objective = MultiMix(num_tuples=1000, alpha=(0.5, 2.0), input_prob=0.5)

recipe = replace(
    baseline.recipe,
    paper="2311.05538",
    num_epochs=2000,
    schedule=Steps(at=(500, 1000, 1500)),
    objective=objective,
)

dense = replace(recipe, objective=replace(objective, dense=True))

distilled = replace(recipe, objective=replace(objective, teacher_weight=0.5))

# Small networks on few epochs want little input mixup, and few tuples are enough for them.
small = replace(baseline.small, paper=recipe.paper, objective=replace(objective, num_tuples=256, input_alpha=0.2))

small_dense = replace(small, objective=replace(objective, num_tuples=256, input_alpha=0.2, dense=True))
