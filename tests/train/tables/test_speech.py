"""Spoken words: a second each, as spectra, divided as their own list says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from train.tables.sources import read_table
from train.tables.speech import read_commands, read_wav, spectrum
from train.tables.table import split


def write_words(root: Path, *, listed: bool = True) -> Path:
    steps = np.arange(16_000) / 16_000
    for word, pitch in (("yes", 400), ("no", 2_000)):
        (root / word).mkdir(parents=True)
        for number in range(5):
            sound = 8_000 * np.sin(2 * np.pi * pitch * steps[: 16_000 - 1_000 * number])
            wavfile.write(root / word / f"{number}.wav", 16_000, sound.astype(np.int16))
    (root / "_background_noise_").mkdir()
    if listed:
        (root / "testing_list.txt").write_text("yes/0.wav\nno/0.wav\nno/1.wav\n")
    return root


def test_words_are_spectra_divided_by_their_list(tmp_path: Path) -> None:
    table = read_table("speech_commands", 0, str(write_words(tmp_path / "words")))
    assert table.classes == ("no", "yes")
    assert table.features.shape == (10, 160, 101)
    assert table.held_out is not None
    assert table.held_out.sum() == 3
    divided = split(table, 0.2, 0)
    assert len(divided.train) == 7
    # the pitch of a word: frequencies are 50 Hz apart, beginning with 50 Hz
    for label, place in ((0, 39), (1, 7)):
        own = table.features[table.labels == label]
        assert set(own[:, :, 20].argmax(dim=1).tolist()) == {place}


def test_so_many_of_each_word_are_drawn_by_the_seed(tmp_path: Path) -> None:
    root = write_words(tmp_path / "words", listed=False)
    first, same, other = (read_commands(root, 2, seed) for seed in (0, 0, 5))
    assert first.held_out is None
    assert first.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(first.features, same.features)
    assert not torch.equal(first.features, other.features)


def test_what_is_short_ends_in_silence_and_what_is_long_is_cut(tmp_path: Path) -> None:
    for name, length in (("short", 10), ("long", 20_000)):
        wavfile.write(tmp_path / f"{name}.wav", 16_000, np.full(length, 16_384, dtype=np.int16))
    assert read_wav(tmp_path / "short.wav")[:12].tolist() == [0.5] * 10 + [0] * 2
    assert read_wav(tmp_path / "long.wav").tolist() == [0.5] * 16_000
    assert spectrum(torch.zeros(16_000)).isfinite().all()


def test_files_that_are_no_words_are_named(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "slow.wav", 8_000, np.zeros(100, dtype=np.int16))
    with pytest.raises(ValueError, match=r"slow.wav has 8000 Hz, shape \(100,\) and int16; it must be 16000 Hz"):
        read_wav(tmp_path / "slow.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"text.wav cannot be read as .wav"):
        read_wav(tmp_path / "text.wav")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_commands(tmp_path / "none", None, 0)
    with pytest.raises(ValueError, match=r"has 0 folders with .wav files; two words are the least"):
        read_commands(tmp_path, None, 0)
