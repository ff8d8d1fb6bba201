"""Tables and sequences: divided and standardised by the training samples alone, mixed and learned by the objectives of
the images, told in the form that a study reads."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mixdali import MixUp, one_hot
from tests.helpers.nets import seeded
from train.objectives import CrossEntropy, GenLabel, ManifoldMixup, MixupE, Objective
from train.objectives.batch import Batch
from train.study.numbers import FILE, SETTINGS, claim
from train.tables import boundaries, run
from train.tables.drawn import DRAWN, cylinder_bell_funnel, draw
from train.tables.networks import build_network
from train.tables.sources import EMBEDDED, read_csv, read_table
from train.tables.table import Split, Table, split
from train.tables.training import Settings, batches, measure, train_network

QUICK = Settings(num_epochs=6, batch_size=32, width=8, train_share=0.1)
MIXUP = MixUp(alpha=1.0, per="batch", partner="permutation")


def toy(seed: int = 0) -> Split:
    return split(draw("circles", seed), QUICK.train_share, seed)


def written(folder: Path, text: str) -> Path:
    path = folder / "plants.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [*EMBEDDED, *DRAWN])
def test_a_split_takes_its_share_of_each_class_and_standardises_by_the_training_samples(name: str) -> None:
    table = read_table(name, seed=3)
    assert table.features.dtype == torch.float32
    assert set(table.labels.tolist()) == set(range(len(table.classes)))
    divided = split(table, 0.2, seed=3)
    assert sorted([*divided.train.tolist(), *divided.held_out.tolist()]) == list(range(len(table)))
    for label in range(len(table.classes)):
        own = int((table.labels == label).sum())
        assert int((table.labels[divided.train] == label).sum()) == max(2, round(0.2 * own))
    axes = [axis for axis in range(table.features.ndim) if axis != 1]
    known = divided.table.features[divided.train].double()
    assert known.mean(dim=axes).abs().max() < 1e-5
    spread = known.std(dim=axes, correction=0)
    assert torch.all((spread - 1).abs().lt(1e-4) | spread.eq(0))
    # the held-out samples had no say in it
    changed = table.features.clone()
    changed[divided.held_out] += 100
    again = split(replace(table, features=changed), 0.2, seed=3)
    assert torch.equal(again.table.features[again.train], divided.table.features[divided.train])


def test_another_seed_draws_other_training_samples_and_the_same_seed_the_same() -> None:
    table = read_table("wine", 0)
    first, same, other = (split(table, 0.2, seed).train for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_events_of_the_drawn_sequences_are_where_their_definition_says() -> None:
    import numpy as np

    sequences, labels = cylinder_bell_funnel(np.random.default_rng(0))
    assert sequences.shape == (600, 1, 128)
    # step 40 is late in no event, step 32 the first that lies in all of them, and before step 16 there is noise
    assert abs(sequences[:, 0, :15].mean()) < 0.1
    means = [sequences[labels == label, 0, 31:40].mean() for label in range(3)]
    assert means[1] < means[2] < means[0]
    assert 5.5 < means[0] < 6.5


@pytest.mark.parametrize("name", ["circles", "control_charts"])
@pytest.mark.parametrize(
    ("mix", "objective"),
    [
        (None, CrossEntropy()),
        (MIXUP, CrossEntropy()),
        (None, MixupE(alpha=1.0)),
        (None, GenLabel(alpha=1.0, warmup=1)),
        (None, ManifoldMixup(stages=("input", "0"))),
    ],
    ids=["ERM", "mixup", "MixupE", "GenLabel", "Manifold Mixup"],
)
def test_each_method_learns_rows_and_sequences_the_same_way_twice(
    name: str, mix: MixUp | None, objective: Objective
) -> None:
    divided = split(draw(name, 0), QUICK.train_share, 0)
    settings = replace(QUICK, mix=mix, objective=objective, num_epochs=2)
    first, second = (train_network(divided, settings).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    untrained = build_network(tuple(divided.table.features.shape[1:]), len(divided.table.classes), 8, 0).state_dict()
    assert not torch.equal(first["0.weight"], untrained["0.weight"])


def test_arms_of_one_seed_see_the_same_samples_in_the_same_order() -> None:
    divided = toy()
    plain, mixed = (list(batches(divided, replace(QUICK, mix=mix))) for mix in (None, MIXUP))
    assert len(plain) == QUICK.num_epochs * math.ceil(len(divided.train) / 32)
    for one, other in zip(plain, mixed, strict=True):
        assert one.index is not None
        assert other.index is not None
        assert torch.equal(one.index, other.index)
        assert set(one.index.tolist()) <= set(divided.train.tolist())
    assert not torch.equal(plain[0].images, mixed[0].images)


def test_what_is_learned_is_told_of_held_out_samples() -> None:
    divided = split(read_table("iris", 0), 0.2, 0)
    found = measure(train_network(divided, replace(QUICK, num_epochs=40, lr=0.02, width=32)), divided)
    assert found["accuracy"] > 0.85
    assert found["train_samples"] == 30
    assert found["held_out_samples"] == 120


@pytest.mark.parametrize("version", [1, 2])
def test_the_exact_mixupe_takes_rows_each_by_itself(version: int) -> None:
    """Its mean image is 0 for a network that normalises nothing, whatever the shape of the samples."""
    objective = MixupE(version=version, eta=0.5)
    network = build_network((5,), 3, 8, 0).double()
    rows = torch.randn(6, 5, generator=seeded(1), dtype=torch.float64)
    targets = one_hot(torch.arange(6) % 3, 3).double()
    batch = Batch(epoch=0, step=0, images=rows, targets=targets)
    draws = {"lam": 0.3, "partner": torch.arange(6)}
    _, metrics = objective(network, batch, objective.setup(network, 6, 3), draws)
    x = rows.clone().requires_grad_(True)
    logits = network(x)
    (slope,) = torch.autograd.grad((logits * (logits.softmax(1) - targets).detach()).sum(), x)
    slopes = -(slope * rows).sum(dim=1)
    kept = slopes.abs() if version == 2 else slopes[slopes < objective.threshold]
    expected = kept.sum() * objective.alpha / (2 * objective.alpha + 1) / 6
    assert torch.isclose(metrics["regulariser"], expected)


def test_a_file_of_numbers_is_a_table_whose_classes_are_the_words_of_its_column(tmp_path: Path) -> None:
    path = written(tmp_path, "height,kind,width\n1,oak,2\n3,elm,4\n\n5.5,oak,-6e1\n")
    table = read_csv(path, "kind")
    assert table.classes == ("elm", "oak")
    assert table.labels.tolist() == [1, 0, 1]
    assert table.features.tolist() == [[1, 2], [3, 4], [5.5, -60]]
    assert read_table(f"{path}:kind", 0).name == "plants"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,kind\n1,oak\nred,elm\n", r"row 3 has 'red' in column 'a', which is no finite number"),
        ("a,kind\n1,oak\n,elm\n", r"row 3 has '' in column 'a'"),
        ("a,kind\n1,oak\n1,2,elm\n", r"row 3 has 3 fields, and the first row names 2 columns"),
        ("a,kind\n1,oak\n2,oak\n", r"has 1 classes in 'kind' and 1 other columns"),
        ("a,b\n1,oak\n", r"has no column 'kind'; there are: a, b"),
        ("", r"has no column 'kind'"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_row_and_column(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_csv(written(tmp_path, text), "kind")


def test_the_command_leaves_what_a_study_reads_and_never_mixes_two_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["circles", "--num_epochs", "2", "--width", "4", "--folder", str(tmp_path)]
    assert run.main(words) == 0
    first = tmp_path / "tables" / FILE
    found = json.loads(first.read_text())
    assert json.loads((tmp_path / "tables" / SETTINGS).read_text())["num_epochs"] == 2
    assert set(found["parts"]["circles"]["last"]) >= {"accuracy", "nll", "ece"}
    assert (tmp_path / "tables/circles.png").stat().st_size
    assert "circles: 2 classes, 120 samples to train on" in capsys.readouterr().out
    before = first.read_bytes()
    assert run.main(words) == 0
    assert first.read_bytes() == before
    mixed = [*words, "--mix", "MixUp(alpha=0.2)"]
    assert run.main(mixed) == 0
    assert first.read_bytes() == before
    assert (tmp_path / "tables-2" / FILE).is_file()
    with pytest.raises(ValueError, match=r"tables has the numbers of other settings \(mix None, now MixUp\); give"):
        run.main([*mixed, "--name", "tables"])


def test_a_command_that_was_stopped_begins_again_in_its_own_folder_and_takes_nobody_elses(tmp_path: Path) -> None:
    stopped = claim(tmp_path, "mine", "tables", {"lr": 0.1})
    (stopped / "manifest.json").touch()
    assert claim(tmp_path, "mine", "tables", {"lr": 0.1}) == stopped
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/last.pt").touch()
    assert claim(tmp_path, None, "tables", {"lr": 0.1}) == tmp_path / "tables-2"
    with pytest.raises(
        ValueError, match=r"tables is there and has no settings.json that can be read; give another --name"
    ):
        claim(tmp_path, "tables", "tables", {"lr": 0.1})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name one set or more: iris, wine"),
        (["whine"], "there is no set 'whine'; nearest: wine"),
        (["plants.csv"], "plants.csv needs the column that is to be told after a colon"),
        (["speech_commands"], "speech_commands needs --root"),
        (["iris", "iris"], "sets must have different names, got iris, iris"),
        (["iris", "--per_class", "0"], "per_class must be 1 or more, got 0"),
        (["iris", "--objective", "TRADES()"], "objective is for images; for tables there are CrossEntropy, MixupE"),
        (["iris", "--mix", "MixUp()", "--objective", "MixupE()"], "mix must be None: MixupE mixes the images itself"),
        (["iris", "--mix", "CutMix()"], "boxes and masks need a height and a width, MixUp"),
        (["iris", "--train_share", "1"], r"train_share must be in \(0, 1\), got 1"),
    ],
)
def test_mistakes_get_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        run.main([*words, "--folder", str(tmp_path)])


def test_a_class_too_small_to_be_divided_is_named() -> None:
    table = Table("few", torch.rand(5, 2), torch.tensor([0, 0, 0, 1, 1]), ("many", "rare"))
    with pytest.raises(ValueError, match="few: class 'rare' has 2 samples and needs 3"):
        split(table, 0.5, 0)


def test_the_boundaries_of_all_methods_are_one_picture(tmp_path: Path) -> None:
    out = tmp_path / "b.png"
    assert boundaries.main(["line", "--num_epochs", "13", "--out", str(out)]) == 0
    assert out.stat().st_size
    with pytest.raises(ValueError, match="there are no points 'spirals'"):
        boundaries.main(["spirals"])
