"""Predicting generalisation: the competition's score, and the command from checkpoints to a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.helpers.training import ALONE, TINY, coloured, write_cifar
from train.data.streams.samples import write_samples
from train.files import checkpoint
from train.files.plain import to_plain
from train.generator.run import train_generator
from train.generator.settings import Settings
from train.loop.runner import train_recipe
from train.machine.command import run_command
from train.machine.run import Place, Run
from train.predict import conditional_mutual_information, rank_correlations
from train.predict.measure import Measured, measure, read_networks, varying
from train.predict.report import score
from train.predict.run import main
from train.predict.scores import check_room, information_by_chance, kendall_by_chance, kendall_interval
from train.predict.synthetic import read_synthetic

CLASSES = tuple("abcd")


def grid(repeats: int = 1) -> dict[str, list[Any]]:
    points = list(product([16, 32, 64], [0.1, 0.01], ["sgd", "adam"])) * repeats
    return {name: [point[place] for point in points] for place, name in enumerate(("width", "lr", "optimiser"))}


def entropy(counts: Sequence[float]) -> float:
    total = sum(counts)
    return -sum(count / total * math.log2(count / total + 1e-12) for count in counts)


def slow_score(measure: Sequence[float], gap: Sequence[float], hyperparameters: dict[str, list[Any]]) -> float:
    """The organisers' program pair by pair and cell by cell."""
    networks = range(len(gap))
    scores = []
    for one in hyperparameters:
        for other in hyperparameters:
            if one == other:
                continue
            tables: dict[tuple[str, ...], dict[tuple[bool, bool], int]] = {}
            for first in networks:
                for second in networks:
                    cell = tuple(
                        f"{hyperparameters[name][first]}, {hyperparameters[name][second]}" for name in (one, other)
                    )
                    event = (gap[first] > gap[second], measure[first] > measure[second])
                    table = tables.setdefault(cell, {})
                    table[event] = table.get(event, 0) + 1
            information = uncertainty = 0.0
            for table in tables.values():
                total = sum(table.values())
                gaps = {side: sum(n for event, n in table.items() if event[0] == side) for side in (True, False)}
                measures = {side: sum(n for event, n in table.items() if event[1] == side) for side in (True, False)}
                for (gap_side, measure_side), count in table.items():
                    joint = count / total
                    information += joint * math.log2(joint / (gaps[gap_side] / total * measures[measure_side] / total))
                uncertainty += entropy(list(gaps.values()))
            scores.append((information / len(tables)) / (uncertainty / len(tables)))
    return min(scores)


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_the_score_is_that_of_the_organisers_program(seed: int, repeats: int) -> None:
    hyperparameters, rng = grid(repeats), np.random.default_rng(seed)
    # Few digits, so that there are ties.
    gap = rng.normal(size=12 * repeats).round(1)
    measure = (gap + rng.normal(size=12 * repeats)).round(1)
    found = conditional_mutual_information(measure, gap, hyperparameters)  # type: ignore[arg-type]
    assert found == pytest.approx(slow_score(measure.tolist(), gap.tolist(), hyperparameters), abs=1e-9)
    assert 0 < found < 1


def test_an_exact_prediction_scores_one_and_a_constant_one_nothing() -> None:
    gap = np.random.default_rng(0).normal(size=12).tolist()
    assert conditional_mutual_information(gap, gap, grid()) == pytest.approx(1)
    assert conditional_mutual_information([math.exp(value) for value in gap], gap, grid()) == pytest.approx(1)
    assert conditional_mutual_information([3.0] * 12, gap, grid()) == 0


def test_two_hyperparameters_alone_leave_nothing_to_vary_and_score_nothing() -> None:
    names = {"width": [1, 1, 2, 2], "lr": [3, 4, 3, 4]}
    gap = [0.1, 0.4, 0.2, 0.3]
    assert conditional_mutual_information(gap, gap, names) == slow_score(gap, gap, names) == 0
    with pytest.raises(ValueError, match="where width and lr are held fast there is only one network; vary a third"):
        check_room(names)
    check_room({name: values * 2 for name, values in names.items()})


def test_values_that_look_alike_when_written_together_are_told_apart() -> None:
    gap = np.random.default_rng(1).normal(size=12).tolist()
    measure = np.random.default_rng(2).normal(size=12).tolist()
    usual = grid()
    renamed = {**usual, "width": [{16: 1, 32: 11, 64: 111}[value] for value in usual["width"]]}
    assert conditional_mutual_information(measure, gap, renamed) == conditional_mutual_information(measure, gap, usual)


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"width": [1, 2, 3]}, r"two or more hyperparameters that vary, got \['width'\]"),
        (
            {"width": [1, 2, 1], "lr": [1, 2, 2]},
            "no full grid of width, lr: at some of its points there are 1 networks",
        ),
        ({"width": [1, 2], "lr": [1, 2, 2]}, "need a value for each network, got .*'width': 2"),
    ],
)
def test_networks_that_make_no_grid_are_refused(hyperparameters: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conditional_mutual_information([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], hyperparameters)


def test_a_gap_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="measure and gap must be numbers, got nan"):
        conditional_mutual_information([0.1, 0.2, math.nan], [0.1, 0.2, 0.3], {"a": [1, 2, 3], "b": [1, 1, 1]})


def test_rank_correlations_count_the_pairs_in_order() -> None:
    # Of six pairs five are in order and one is not; the squares of the rank differences sum to two.
    assert rank_correlations([1, 2, 4, 3], [10, 20, 30, 40]) == pytest.approx({"kendall": 4 / 6, "spearman": 0.8})
    assert rank_correlations([1, 1, 1], [1, 2, 3]) == {"kendall": None, "spearman": None}
    with pytest.raises(ValueError, match="two or more predictions"):
        rank_correlations([1], [1])


def test_the_interval_of_tau_holds_it_and_narrows_with_the_number_of_networks() -> None:
    rng, widths = np.random.default_rng(3), []
    for count in (12, 96):
        actual = rng.normal(size=count)
        predicted = actual + rng.normal(size=count)
        low, high = kendall_interval(predicted.tolist(), actual.tolist()) or (math.nan, math.nan)
        assert low < (rank_correlations(predicted.tolist(), actual.tolist())["kendall"] or math.nan) < high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]
    assert kendall_interval([1, 1, 1], [1, 2, 3]) is None


def test_chance_is_what_one_guess_in_twenty_exceeds() -> None:
    actual, rng = list(range(12)), np.random.default_rng(4)
    bound = kendall_by_chance(actual)
    assert bound is not None
    guesses = [rank_correlations(rng.permutation(12).tolist(), actual)["kendall"] or 0.0 for _ in range(1000)]
    assert 0.02 < np.mean(np.array(guesses) > bound) < 0.08
    mean, high = information_by_chance(rng.normal(size=12).tolist(), grid())
    assert 0 < mean < high < 1
    assert kendall_by_chance([1.0, 1.0]) is None


def measured(accuracies: Sequence[tuple[float, float, float]], names: dict[str, list[Any]]) -> list[Measured]:
    return [
        Measured(
            path=f"{number}.pt",
            hyperparameters={name: values[number] for name, values in names.items()},
            train_accuracy=train,
            train_loss=1 - train,
            test_accuracy=test,
            synthetic_accuracy=synthetic,
            images=dict.fromkeys(("train", "test", "synthetic"), 100),
        )
        for number, (train, test, synthetic) in enumerate(accuracies)
    ]


def test_each_predictor_is_scored_by_what_it_says() -> None:
    rng = np.random.default_rng(3)
    tests = rng.uniform(0.5, 0.8, 12)
    found = score(measured([(0.95, test, test + 0.01) for test in tests.tolist()], grid()))
    exact = found["predictors"]["synthetic accuracy"]
    assert exact.pop("kendall_interval") == pytest.approx((1, 1))
    assert exact == pytest.approx({"kendall": 1, "spearman": 1, "mean_error": 0.01, "pgdl": 100})
    useless = found["predictors"]["training accuracy"]
    assert useless["kendall"] is None
    assert useless["pgdl"] == 0
    assert found["predictors"]["training loss"]["mean_error"] is None
    assert found["pgdl_missing"] is None
    assert 0 < found["chance"]["pgdl_mean"] < found["chance"]["pgdl"] < 100


def test_without_a_grid_the_ranks_are_still_compared_and_the_reason_is_given() -> None:
    found = score(measured([(0.9, 0.5, 0.4), (0.9, 0.6, 0.5), (0.9, 0.7, 0.6)], {"lr": [1, 2, 3]}))
    assert found["predictors"]["synthetic accuracy"]["kendall"] == 1
    assert found["predictors"]["synthetic accuracy"]["pgdl"] is None
    assert "two or more hyperparameters" in found["pgdl_missing"]


def test_hyperparameters_are_the_fields_in_which_recipes_differ() -> None:
    recipes = [to_plain(recipe) for recipe in (TINY, replace(TINY, lr=0.5, seed=3), replace(TINY, mix=None))]
    found = varying(recipes)
    assert [fields["lr"] for fields in found] == [TINY.lr, 0.5, TINY.lr]
    assert "seed" not in found[0]
    assert found[0]["mix.alpha"] == 1.0
    assert found[2]["mix.alpha"] is None


def write_folder(root: Path) -> Path:
    source = coloured(8, seed=9)
    for number, (pixels, label) in enumerate(zip(source.items, source.labels.tolist(), strict=True)):
        folder = root / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, synthetic.npz, generator/ and runs of three networks."""
    tmp = tmp_path_factory.mktemp("prediction")
    root = str(write_cifar(tmp / "data", 80, 23))
    write_samples(tmp / "synthetic.npz", coloured(30, seed=5))
    with open(tmp / "log", "w") as log:
        for number, lr in enumerate((0.001, 0.02, 0.1)):
            recipe = replace(TINY, num_epochs=1 + number, lr=lr, ema_decay=None)
            run = Run(root=root, folder=str(tmp / "runs"), name=f"lr-{lr}", device="cpu", num_threads=1)
            assert train_recipe("tiny", recipe, run, overrides=[], console=Console(file=log)) == 0
        settings = Settings(num_steps=1, batch_size=8, width=2, latent_size=4, precision="float32")
        train_generator(settings, Place(root=root, folder=str(tmp), device="cpu"), Console(file=log))
    return tmp


def predict(world: Path, *words: str, synthetic: str = "synthetic.npz") -> Path:
    networks = [str(path) for path in sorted((world / "runs").iterdir())]
    folder = world / "prediction"
    arguments = ["--synthetic", str(world / synthetic), "--root", str(world / "data"), "--folder", str(folder)]
    assert main([*networks, *arguments, "--device", "cpu", *words]) == 0
    return folder


def test_the_command_measures_what_the_networks_reach(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = predict(world)
    content = json.loads((folder / "prediction.json").read_text())
    assert content["hyperparameters"] == ["num_epochs", "lr"]
    synthetic, train, test = coloured(30, seed=5), coloured(80), coloured(23, seed=1)
    for network, path in zip(content["networks"], sorted((world / "runs").iterdir()), strict=True):
        assert network["path"] == str(path / "last.pt")
        model = checkpoint.load_model(path / "last.pt")
        for name, source in (("synthetic", synthetic), ("train", train), ("test", test)):
            assert isinstance(source.items, np.ndarray)
            with torch.no_grad():
                logits = model(torch.from_numpy(source.items).permute(0, 3, 1, 2).float() / 255)
            hits = (logits.argmax(1).numpy() == source.labels).mean()
            assert network[f"{name}_accuracy"] == pytest.approx(hits)
    said = capsys.readouterr().out
    assert "synthetic accuracy" in said
    assert "No PGDL score: the networks make no full grid" in said
    with Image.open(folder / "prediction.png") as picture:
        assert picture.size[0] > 800


def test_a_prediction_is_never_written_over_another(world: Path) -> None:
    folder = predict(world)
    before = (folder / "prediction.json").read_bytes()
    count = len(list(world.glob("prediction*")))
    predict(world)
    assert (folder / "prediction.json").read_bytes() == before
    assert len(list(world.glob("prediction*"))) == count + 1


@pytest.mark.parametrize("synthetic", ["generator/last.pt", "folder"])
def test_generators_and_folders_do_as_well(world: Path, synthetic: str) -> None:
    if synthetic == "folder" and not (world / "folder").exists():
        write_folder(world / "folder")
    predict(world, "--num_images", "12", synthetic=synthetic)


def test_the_classes_of_a_synthetic_set_are_found_by_name(tmp_path: Path) -> None:
    source = coloured(8, seed=9)
    turned = replace(source, labels=(source.labels + 1) % 4, classes=("d", "a", "b", "c"))
    write_samples(tmp_path / "turned.npz", turned)
    assert read_synthetic(tmp_path / "turned.npz", CLASSES, 1, 0).labels.tolist() == source.labels.tolist()
    found = read_synthetic(write_folder(tmp_path / "folder"), CLASSES, 1, 0)
    assert found.labels.tolist() == sorted(source.labels.tolist())
    write_samples(tmp_path / "other.npz", replace(source, classes=("a", "b", "c", "zebra")))
    with pytest.raises(
        ValueError, match=r"other\.npz has the class 'zebra' \(1 such\), which the networks do not know"
    ):
        read_synthetic(tmp_path / "other.npz", CLASSES, 1, 0)
    np.savez(tmp_path / "many.npz", image=source.items, label=np.full(8, 7))
    with pytest.raises(ValueError, match="has label 7, outside 0 to 3"):
        read_synthetic(tmp_path / "many.npz", CLASSES, 1, 0)


def test_what_is_no_synthetic_set_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is neither a folder of class folders, nor an \.npz"):
        read_synthetic(tmp_path / "images.tar", CLASSES, 1, 0)
    with pytest.raises(ValueError, match="holds a classifier, not a generator"):
        read_synthetic(world / "runs" / "lr-0.1" / "last.pt", CLASSES, 1, 0)


def test_networks_that_cannot_be_compared_are_refused(world: Path, tmp_path: Path) -> None:
    one, *_ = sorted(str(path / "last.pt") for path in (world / "runs").iterdir())
    synthetic = ["--synthetic", str(world / "synthetic.npz")]
    root = ["--root", str(world / "data")]
    with pytest.raises(ValueError, match="3 or more checkpoints are needed to compare predictions, got 2"):
        main([one, one, *synthetic, *root])
    with pytest.raises(ValueError, match="is no checkpoint of a classifier"):
        main([one, one, str(world / "generator" / "last.pt"), *synthetic, *root])
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist"):
        main([one, one, str(tmp_path / "none.pt"), *synthetic, *root])
    content = checkpoint.load(Path(one))
    content["recipe"]["size"] = [8, 8]
    checkpoint.save(tmp_path / "sized.pt", content)
    with pytest.raises(ValueError, match=r"sized\.pt was trained on cifar images of size \(8, 8\)"):
        main([one, one, str(tmp_path / "sized.pt"), *synthetic, *root])
    content["recipe"]["size"], content["network"]["num_classes"] = None, 5
    checkpoint.save(tmp_path / "more.pt", content)
    with pytest.raises(ValueError, match=r"more\.pt has 5 outputs for 4 classes"):
        main([one, one, str(tmp_path / "more.pt"), *synthetic, *root])
    with pytest.raises(ValueError, match=r"last\.pt was trained on other images than the embedded digits; pass its"):
        main([one, one, one, *synthetic])


def test_training_accuracy_is_that_on_the_images_that_were_trained_on(world: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, num_epochs=1, num_images=16, ema_decay=None)
    run = Run(root=str(world / "data"), folder=str(tmp_path), name="few", device="cpu", num_threads=1)
    with open(tmp_path / "log", "w") as log:
        assert train_recipe("tiny", recipe, run, overrides=[], console=Console(file=log)) == 0
    networks = read_networks([tmp_path / "few", world / "runs" / "lr-0.1"], str(world / "data"))
    assert [len(source) for source in networks.trained_on] == [16, 80]
    few, whole = measure(networks, coloured(30, seed=5), ALONE, average=True)
    assert (few.train_accuracy * 16) % 1 == pytest.approx(0)
    assert few.hyperparameters == {"num_epochs": 1, "lr": TINY.lr, "num_images": 16}
    assert whole.hyperparameters["num_images"] is None


def test_averaged_weights_are_taken_or_not(world: Path, tmp_path: Path) -> None:
    run = Run(root=str(world / "data"), folder=str(tmp_path), name="run", device="cpu", num_threads=1)
    with open(tmp_path / "log", "w") as log:
        recipe = replace(TINY, num_epochs=3, lr=0.1, ema_decay=0.99)
        assert train_recipe("tiny", recipe, run, overrides=[], console=Console(file=log)) == 0
    row = checkpoint.load(tmp_path / "run" / "last.pt")["history"][-1]
    networks = read_networks([tmp_path / "run"], str(world / "data"))
    for average, name in ((True, "ema_accuracy"), (False, "accuracy")):
        (found,) = measure(networks, coloured(30, seed=5), ALONE, average=average)
        assert found.test_accuracy == pytest.approx(row[name])
    assert row["accuracy"] != row["ema_accuracy"]


def test_a_mistake_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train.predict", "a.pt", "b.pt", "c.pt", "--synthetik", "x"])
    assert run_command(main) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
