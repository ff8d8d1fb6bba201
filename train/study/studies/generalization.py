"""What tells how well networks generalise: images of a generator, or the training images. A seed is a grid of networks.

Reads what `python -m train.generator` has learned, runs/generator/last.pt.
"""

from train.study.declare import Arm, Expected, Measure, Scale, Study

GRID, PART = "grid of networks", "prediction"
SYNTHETIC, TRAINING = "synthetic accuracy", "training accuracy"

STUDY = Study(
    question="Do images of a GAN tell the test accuracy of networks better than their training images do?",
    arms={GRID: Arm("--synthetic runs/generator/last.pt", program="train.study.arms.grid")},
    reference=GRID,
    measures={
        "PGDL, synthetic": Measure(PART, (SYNTHETIC, "pgdl"), shown="number"),
        "PGDL, training": Measure(PART, (TRAINING, "pgdl"), shown="number"),
        "Kendall, synthetic": Measure(PART, (SYNTHETIC, "kendall"), shown="number"),
        "Kendall, training": Measure(PART, (TRAINING, "kendall"), shown="number"),
        "error, synthetic": Measure(PART, (SYNTHETIC, "mean_error"), "lower"),
        "error, training": Measure(PART, (TRAINING, "mean_error"), "lower"),
        "distance, synthetic": Measure(PART, ("distance", "synthetic images"), "lower", "number"),
        "distance, training": Measure(PART, ("distance", "training images"), "lower", "number"),
    },
    scales={
        "cpu": Scale(
            seeds=(0, 1, 2, 3, 4),
            chosen="Eight networks a seed, two widths by two numbers of images by two weight decays, so that they "
            "differ in how well they generalise and not only in how far they have learned.",
        ),
    },
    expected=(
        Expected(
            "2111.14212",
            "synthetic images predict the gap better than training images",
            GRID,
            "PGDL, synthetic",
            GRID,
            against="PGDL, training",
        ),
        Expected(
            "2111.14212",
            "synthetic images order networks better than training images",
            GRID,
            "Kendall, synthetic",
            GRID,
            against="Kendall, training",
        ),
        Expected(
            "2111.14212",
            "synthetic accuracy is nearer to the test accuracy than training accuracy",
            GRID,
            "error, synthetic",
            GRID,
            against="error, training",
        ),
        Expected(
            "2111.14212",
            "synthetic images are nearer to the test images than training images are",
            GRID,
            "distance, synthetic",
            GRID,
            against="distance, training",
        ),
    ),
)
