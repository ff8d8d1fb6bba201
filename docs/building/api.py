"""The pages of the API reference: which names stand on them. What they say is in the docstrings."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]

MIXDALI = {
    "Methods": ("methods", "mix"),
    "Loaders": ("loading", "wrapping"),
    "Plans and laws": ("plan", "schedule", "seeds"),
    "Pixels, targets, losses": ("pixels", "targets", "along", "losses"),
    "What methods are written in": ("draws", "worlds"),
}

PIPELINES = {
    "CIFAR and other images in memory": "cifar: train_loader val_loader train_pipeline val_pipeline",
    "Image files": "imagenet: train_loader val_loader train_pipeline val_pipeline",
    "Sources": "sources.source: Source",
    "Readers": "sources.files: read_cifar read_folder read_files; sources.tables: read_table; "
    "sources.records.tars: read_tars; sources.records.tfrecords: read_tfrecords write_index; "
    "sources.records.recordio: read_recordio; sources.records.huggingface: read_dataset; "
    "sources.records.arrays: read_arrays",
    "Augmentation": "augment.resize: resize; augment.color: color_jitter; augment.augmix: augmix; "
    "augment: RandAugment AutoAugment TrivialAugment ThreeAugment Progressive Policy DecoderHints",
}


def handed_out(package: str) -> dict[str, str]:
    """What a package's `__init__` imports for others: the room of the package that each name comes from."""
    tree = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            room = node.module.removeprefix(f"{package}.").partition(".")[0]
            found |= {alias.asname: room for alias in node.names if alias.asname}
    return found


def pages() -> dict[str, str]:
    """Each page: its path in the site, and its Markdown for mkdocstrings."""
    names = handed_out("mixdali")
    mixdali = {
        title: [f"mixdali.{name}" for room in rooms for name, home in names.items() if home == room]
        for title, rooms in MIXDALI.items()
    }
    pipelines = {
        title: [
            f"pipelines.{module.strip()}.{name}"
            for module, _, listed in (part.partition(":") for part in text.split(";"))
            for name in listed.split()
        ]
        for title, text in PIPELINES.items()
    }
    train = {
        "Recipes": ["train.recipe.Recipe", "train.recipe.Claim"],
        "How a run runs": ["train.machine.run.Run", "train.loop.runner.train_recipe"],
        "Rates and optimisers": [f"train.optim.{name}" for name in handed_out("train.optim")],
        "Labels and further images": [
            "train.data.labels.noise.LabelNoise",
            "train.data.streams.Stream",
            "train.data.streams.gaussian.draw_gaussian",
        ],
    }
    objectives = [f"train.objectives.{name}" for name in handed_out("train.objectives")]
    first = ["train.objectives.Objective", "train.objectives.batch.Batch"]
    measures = {
        "Certificates": [f"train.certify.{name}" for name in handed_out("train.certify")],
        "Calibration": ["train.evaluate.parts.calibration.calibration"],
        "Answers and refusals": [
            f"train.selective.run.{name}" for name in ("rejection_scores", "calibrate", "selective_risk", "risk_table")
        ],
    }
    return {
        "api/mixdali.md": page("mixdali", "What `import mixdali` gives.", mixdali),
        "api/pipelines.md": page("pipelines", "Pipelines written out plainly, and their sources.", pipelines),
        "api/train.md": page("train", "What a training run is made of.", train),
        "api/objectives.md": page(
            "train.objectives",
            "What a step minimises.",
            {"What they share": first, "The objectives": [name for name in objectives if name not in first]},
        ),
        "api/attacks.md": page(
            "train.attacks",
            "Images near the given ones on which a loss is large.",
            {"Attacks": [f"train.attacks.{name}" for name in handed_out("train.attacks")]},
        ),
        "api/measures.md": page("Measures", "What trained networks are measured by, as plain functions.", measures),
    }


def page(title: str, summary: str, sections: dict[str, list[str]]) -> str:
    parts = [f"# {title}", summary]
    for heading, names in sections.items():
        parts += [f"## {heading}", *(f"::: {name}" for name in names)]
    return "\n\n".join(parts) + "\n"
