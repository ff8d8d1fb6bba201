"""A GAN on eight Gaussians, its discriminator with mixup and without: zhang2017mixup."""

from train.study.declare import Arm, Expected, Measure, Scale, Study


def arm(words: str) -> Arm:
    """An arm is the whole command."""
    return Arm(words, program="train.generator.gaussians")


STUDY = Study(
    question="Does mixup stabilise a GAN: which of eight Gaussians does it find, and does it keep them?",
    arms={"no mixup": arm(""), "mixup": arm("--mixup 0.2")},
    reference="no mixup",
    measures={
        "modes found": Measure("gaussians", ("modes",), "higher", "number"),
        "good samples": Measure("gaussians", ("good",)),
        "modes, second half": Measure("gaussians", ("modes_second_half",), "higher", "number"),
        "good, second half": Measure("gaussians", ("good_second_half",)),
        "fewest modes, second half": Measure("gaussians", ("modes_least",), "higher", "number"),
    },
    scales={
        "cpu": Scale(
            "--num_steps 500 --width 64 --lr 0.0005 --deviation 0.1",
            seeds=(1, 2, 3, 4, 5),
            chosen="The paper's three layers, Adam and five steps of the discriminator; narrower, shorter, and with "
            "Gaussians of 0.1 in place of 0.02, so that so few steps can meet them. Of seed 100, no mixup: at a "
            "rate of 0.001 with Gaussians of 0.02 a mode or none is found in 1,000 steps; with the setting here seven, "
            "half of the samples are good, and modes are lost on the way, so that all can rise and fall.",
        ),
        "paper": Scale("--num_steps 20000 --width 512", seeds=(1, 2, 3, 4, 5), chosen="The paper's, as we recall it."),
    },
    expected=(
        Expected("1710.09412", "mixup lets a GAN find more modes", "mixup", "modes found", "no mixup"),
        Expected("1710.09412", "mixup makes more of a GAN's samples good", "mixup", "good samples", "no mixup"),
        Expected(
            "1710.09412", "mixup stabilises a GAN: it keeps modes", "mixup", "fewest modes, second half", "no mixup"
        ),
    ),
)
