"""A network as a file: it computes the same, for any number of images, and nothing wrong is left."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.training import ALONE, TINY, new_training
from train.export import run
from train.export.run import NEEDED, export, main
from train.files import checkpoint
from train.files.plain import to_plain

HAS_ONNX = all(importlib.util.find_spec(name) for name in NEEDED)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has not learned anything."""
    folder = tmp_path_factory.mktemp("exported")
    training = new_training(TINY)
    content = training.state.to_checkpoint(training.train, ALONE)
    checkpoint.save(folder / "last.pt", {"recipe": to_plain(TINY), "classes": list("abcd"), **content})
    return folder


def test_what_torch_export_has_computes_the_same_for_any_number_of_images(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(trained), "--form", "torch", "--size", "16", "16"]) == 0
    assert "images (N, 3, 16, 16) in [0, 1] -> logits (N, 4)" in capsys.readouterr().out
    found = torch.export.load(str(trained / "network.pt2")).module()
    images = torch.rand(7, 3, 16, 16)
    model = checkpoint.load_model(trained / "last.pt")
    torch.testing.assert_close(found(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not HAS_ONNX, reason="onnx, onnxscript and onnxruntime are not installed")
def test_so_does_the_file_for_onnx(trained: Path) -> None:
    import onnxruntime

    assert main([str(trained), "--size", "16", "16"]) == 0
    session = onnxruntime.InferenceSession(str(trained / "network.onnx"))
    images = torch.rand(7, 3, 16, 16)
    (logits,) = session.run(None, {"images": images.numpy()})
    model = checkpoint.load_model(trained / "last.pt")
    torch.testing.assert_close(torch.from_numpy(logits), model(images), rtol=1e-3, atol=1e-4)


class Moody(nn.Module):
    """Adds what it does not show to an exporter: its file would compute something else."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3] + (0.0 if torch.compiler.is_compiling() else 1.0)


def test_a_file_that_computes_something_else_is_not_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"its logits are .* from the network's, --tolerance is 0\.0001"):
        export(Moody().eval(), (4, 4), tmp_path / "network.pt2", "torch", 1e-4)
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_said_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--form onnx needs onnx, onnxscript, onnxruntime: pip install"):
        main(["nowhere"])
