"""Google's speech commands as sequences of spectra: Warden, arXiv:1804.03209."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile
from torch import Tensor

from mixdali import derive_seed
from train.tables.table import Table

RATE = 16_000
WINDOW, HOP = 320, 160
"""20 ms, every 10 ms: a second is 160 frequencies (without the mean) by 101 moments, as in the mixup paper."""
TEST_LIST = "testing_list.txt"


def read_commands(root: Path, per_class: int | None, seed: int) -> Table:
    """A folder with a folder of .wav files, 16 kHz, for each word; folders that begin with `_` are no words.

    What testing_list.txt names is held out; without that file the words are divided as any other set is. A second of a
    word takes 65 kB of memory.

    Args:
        per_class: so many of each word at most, and of its held-out ones, drawn by the seed.

    Raises:
        FileNotFoundError, ValueError: one line on the folder or the file.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    words = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] not in "._")
    listed = root / TEST_LIST
    testing = set(listed.read_text().split()) if listed.is_file() else None
    features, labels, held_out = [], [], []
    for label, word in enumerate(words):
        files = sorted((root / word).glob("*.wav"))
        for number, part in enumerate((False, True) if testing is not None else (False,)):
            own = [file for file in files if testing is None or (f"{word}/{file.name}" in testing) == part]
            order = np.random.default_rng(derive_seed(seed, "words", word, number)).permutation(len(own))
            for place in sorted(order[:per_class]):
                features.append(spectrum(read_wav(own[place])))
                labels.append(label)
                held_out.append(part)
    if len(set(labels)) < 2:
        raise ValueError(f"{root} has {len(set(labels))} folders with .wav files; two words are the least")
    divided = None if testing is None else torch.tensor(held_out)
    return Table("speech_commands", torch.stack(features), torch.tensor(labels), tuple(words), divided)


def read_wav(path: Path) -> Tensor:
    """A second of sound, (16000,) in [-1, 1]: what is longer is cut, what is shorter is silent at its end.

    Raises:
        ValueError: it is no .wav file, has another rate, or several channels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that are no sound
            rate, sound = wavfile.read(path)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as .wav: {error}") from None
    if rate != RATE or sound.ndim != 1 or sound.dtype != np.int16:
        raise ValueError(
            f"{path} has {rate} Hz, shape {sound.shape} and {sound.dtype}; it must be 16000 Hz, mono, int16"
        )
    second = np.zeros(RATE, dtype=np.float32)
    second[: len(sound)] = sound[:RATE] / 32768
    return torch.from_numpy(second)


def spectrum(sound: Tensor) -> Tensor:
    """(16000,) -> (160, 101), the logarithm of the magnitudes of 160 frequencies at 101 moments."""
    window = torch.hann_window(WINDOW, dtype=sound.dtype)
    found = torch.stft(sound, WINDOW, HOP, window=window, return_complex=True, pad_mode="constant")
    return (found[1:].abs() + 1e-3).log()
