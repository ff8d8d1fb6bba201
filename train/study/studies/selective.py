"""How often a network is wrong where it answers the images alone that it is surest of, on part of CIFAR-10."""

from train.study.declare import Arm, Expected, Measure, Scale, Study
from train.study.scales import OVERFITTED

STUDY = Study(
    question="Is a network that learns to abstain less often wrong where it answers?",
    arms={
        "softmax response": Arm("baseline small"),
        # cross-entropy first, for the authors' shares of the 60 epochs: a third, and half
        "Deep Gamblers": Arm("liu2019deep small", "--objective.start 20"),
        "SAT": Arm("huang2020selfadaptive small_selective", "--objective.start 30"),
    },
    reference="softmax response",
    measures={
        "area under risk": Measure("selective", ("abstention|softmax", "aurc"), "lower"),
        "risk at 80 %": Measure("selective", ("abstention|softmax", "risk", "0.8"), "lower"),
        "accuracy": Measure("clean", ("accuracy",)),
    },
    scales={
        "cpu": OVERFITTED,
        "gpu-hour": Scale("--num_epochs 60 --model preact_resnet18 --ema_decay None"),
    },
    expected=(
        Expected(
            "2002.10319", "SAT is less often wrong than softmax response", "SAT", "area under risk", "softmax response"
        ),
        Expected("2002.10319", "SAT is less often wrong than Deep Gamblers", "SAT", "area under risk", "Deep Gamblers"),
    ),
)
