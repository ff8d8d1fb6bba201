"""MultiMix: mix the embeddings of a whole batch, at the last layer, into many more than it has images.

Venkataramanan, Kijak, Amsaleg and Avrithis, "Embedding Space Interpolation Beyond Mini-Batch, Beyond Pairs and Beyond
Examples", NeurIPS 2023, arXiv:2311.05538.

`dense` mixes at every position of the last map; `distilled` adds the teacher of the first version (arXiv:2206.14868).
A tuple has two images here, not the whole batch: Dirichlet weights over 128 images, with parameters near 1, make all
mixed targets nearly uniform and teach nothing; that reading is `--objective.group_size None --objective.clean_share 0`.
"""

from dataclasses import replace

from train.objectives import MultiMix
from train.optim.schedules import Steps
from train.recipe import Origin
from train.recipes import baseline

objective = MultiMix(num_tuples=1000, alpha=(0.5, 2.0), group_size=2, clean_share=0.5, input_prob=0.5)

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

origin = Origin(
    code="none is public; the run's length is that of AlignMixup, shashankvkt/AlignMixup_CVPR22 at ec01a68",
    from_paper=("data",),
    from_code=("num_epochs", "batch_size", "lr", "weight_decay", "schedule"),
    ours={
        "model": "theirs is another ResNet-18",
        "objective": "that embeddings of the last layer are mixed in many more tuples than a batch has images is the "
        "paper's; 1000 tuples, Dirichlet parameters from 0.5 to 2 and input mixup in half of the steps are so from "
        "memory; that a tuple has two images, drawn anew, and half of the loss is that of the images as they are, is "
        "ours: with the whole batch in a tuple all mixed targets are nearly the same, and a network learns nothing",
    },
    variants={
        "dense": Origin(from_paper=("objective",)),
        "distilled": Origin(
            ours={
                "objective": "the teacher is that of the first version (arXiv:2206.14868), its share of one half is "
                "ours"
            }
        ),
    },
)
