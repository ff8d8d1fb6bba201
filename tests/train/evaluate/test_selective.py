"""Selective classification: thresholds that keep what was asked for, and the errors among what is kept."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.training import ALONE, TINY, run_steps, write_cifar
from train.data.sources import read_sources
from train.files import checkpoint
from train.loop.runner import describe_run
from train.objectives import SelectiveTraining
from train.selective.run import calibrate, main, rejection_scores, risk_table, selective_risk
from train.show.intervals import with_interval


def test_the_threshold_keeps_the_share_it_was_asked_for() -> None:
    scores = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    for coverage in (0.001, 0.1, 0.5, 0.999, 1.0):
        assert float((scores <= calibrate(scores, coverage)).double().mean()) == pytest.approx(coverage)


def test_the_risk_counts_the_errors_among_what_is_kept() -> None:
    scores = torch.tensor([0.1, 0.2, 0.3, 0.4])
    wrong = torch.tensor([False, True, False, True])
    assert selective_risk(scores, wrong, 0.3) == (0.75, pytest.approx(1 / 3))
    assert selective_risk(scores, wrong, 0.1) == (0.25, 0.0)
    coverage, error = selective_risk(scores, wrong, 0.0)
    assert coverage == 0
    assert math.isnan(error)


def test_scores_that_know_the_errors_leave_none_and_others_leave_them_all() -> None:
    generator = torch.Generator().manual_seed(1)
    wrong = torch.rand(10_000, generator=generator) < 0.2
    noise = torch.rand(10_000, generator=generator)
    knowing = {risk.wanted: risk for risk in risk_table(noise + wrong, wrong)}
    guessing = {risk.wanted: risk for risk in risk_table(noise, wrong)}
    assert knowing[0.75].error == 0
    assert knowing[1.0].error == pytest.approx(0.2, abs=0.02)
    for risk in guessing.values():
        assert risk.error == pytest.approx(0.2, abs=0.02)
        assert risk.coverage == pytest.approx(risk.wanted, abs=0.03)


def test_the_extra_output_is_the_score_and_without_one_it_is_doubt() -> None:
    logits = torch.tensor([[0.0, 0.0, 5.0], [2.0, 0.0, 0.0]])
    torch.testing.assert_close(rejection_scores(logits, 2), logits.softmax(1)[:, 2])
    torch.testing.assert_close(rejection_scores(logits, 3), 1 - logits.softmax(1).amax(1))


def test_a_wrong_setting_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"coverage must be above 0 and at most 1, got 1\.5"):
        calibrate(torch.rand(4), 1.5)
    with pytest.raises(ValueError, match="num_calibration must be from 1 to 3"):
        risk_table(torch.rand(4), torch.zeros(4, dtype=torch.bool), num_calibration=4)


def test_the_command_reads_a_checkpoint_and_shows_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(write_cifar(tmp_path / "data", 80, 40))
    recipe = replace(TINY, mix=None, objective=SelectiveTraining(start=1), ema_decay=None)
    training = run_steps(recipe, 8)
    facts = describe_run(recipe, read_sources("cifar", root), ALONE)
    checkpoint.save(tmp_path / "last.pt", {**facts, **training.state.to_checkpoint(training.train, ALONE)})
    path = str(tmp_path / "last.pt")
    assert main([path, "--root", root, "--num_calibration", "10", "--coverages", "1", "0.5", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "30 test images, with thresholds set on 10 others" in out
    assert f" {with_interval(1.0, 30)} " in out
    assert "50%" in out
    outputs = list[str]()
    with pytest.raises(ValueError, match="num_calibration must be from 1 to 39"):
        main([path, "--root", root, "--num_calibration", "40", "--device", "cpu"])
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist"):
        main([str(tmp_path / "none.pt")])
    with pytest.raises(ValueError, match="coverage"):
        main([path, "--coverage", "0.5"])
    with pytest.raises(ValueError, match=r"coverages must be above 0 and at most 1, got 1\.5"):
        main([path, "--coverages", "1.5"])
    # The folder of a run, half of few images, and batches that do not divide them.
    for batch_size in ("1", "7", "1000"):
        assert main([f"{tmp_path}/", "--root", root, "--batch_size", batch_size, "--device", "cpu"]) == 0
        outputs.append(capsys.readouterr().out)
    assert "20 test images, with thresholds set on 20 others" in outputs[0]
    assert outputs[0] == outputs[1] == outputs[2]
    with pytest.raises(ValueError, match="was trained on the 4 classes"):
        main([path, "--device", "cpu"])
