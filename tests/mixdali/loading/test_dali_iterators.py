"""Mixing pipelines in DALI's own PyTorch iterators and in its proxy for torch workers."""

from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.plugin.pytorch import DALIClassificationIterator, DALIGenericIterator, LastBatchPolicy
from nvidia.dali.plugin.pytorch.experimental import proxy
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

import mixdali
from mixdali import CutMix, Loader, MixUp, Plan

NUMBER = 11
COLOURS = np.eye(3, dtype=np.uint8) * 255


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Eleven images that are red, green or blue, as their label n % 3 says."""
    folder = tmp_path_factory.mktemp("files")
    for n in range(NUMBER):
        Image.fromarray(np.full((6, 8, 3), COLOURS[n % 3])).save(folder / f"{n:02}.png")
    return sorted(map(str, folder.iterdir()))


@pipeline_def(batch_size=4, num_threads=2, device_id=None, seed=1, enable_checkpointing=True)
def pipeline(files: list[str], mix: mixdali.Mix):
    labels = [n % 3 for n in range(len(files))]
    encoded, labels = fn.readers.file(files=files, labels=labels, name="reader", pad_last_batch=True)
    images = fn.decoders.image(encoded, output_type=types.RGB)
    return mix(images, mixdali.one_hot(labels, 3))


def check(images: Tensor, targets: Tensor) -> None:
    """The share of each colour is the target."""
    assert images.dtype == targets.dtype == torch.float32
    torch.testing.assert_close(images.mean((2, 3)), targets, atol=1e-6, rtol=0)
    assert images.device.type == targets.device.type == "cpu"


MIXES = [CutMix(), MixUp(partner="flip")]


@pytest.mark.parametrize("mix", MIXES)
def test_the_generic_iterator_hands_out_mixed_batches(files: list[str], mix: mixdali.Mix) -> None:
    policy = LastBatchPolicy.DROP
    names = ["images", "targets"]
    batches = DALIGenericIterator(
        pipeline(files, mix), names, reader_name="reader", last_batch_policy=policy, auto_reset=True
    )
    assert len(batches) == NUMBER // 4
    shares = []
    for _ in range(2):
        epoch = list(batches)
        assert len(epoch) == NUMBER // 4
        for (batch,) in epoch:
            assert list(batch) == names
            assert batch["images"].shape == (4, 3, 6, 8)
            check(**batch)
            shares.append(batch["targets"])
    assert not torch.equal(shares[0], shares[2])


def test_the_classification_iterator_leaves_targets_as_they_are(files: list[str]) -> None:
    """It neither squeezes nor casts them: "label" is (N, num_classes) float32."""
    batches = DALIClassificationIterator(
        pipeline(files, CutMix()), reader_name="reader", last_batch_policy=LastBatchPolicy.DROP, auto_reset=True
    )
    for _ in range(2):
        epoch = list(batches)
        assert [tuple(batch["label"].shape) for (batch,) in epoch] == [(4, 3)] * 2
        for (batch,) in epoch:
            check(batch["data"], batch["label"])


def test_a_dali_iterator_resumes_the_mix_with_the_rest(files: list[str]) -> None:
    def batches(**settings: Any) -> DALIGenericIterator:
        return DALIGenericIterator(pipeline(files, CutMix(), **settings), ["images", "targets"], reader_name="reader")

    going = batches()
    next(going)
    resumed = batches(checkpoint=going.checkpoints()[0])
    for (ours,), (theirs,) in zip(going, resumed, strict=True):
        assert torch.equal(ours["images"], theirs["images"])
        assert torch.equal(ours["targets"], theirs["targets"])


def test_the_compact_form_through_a_dali_graph(files: list[str]) -> None:
    @pipeline_def(batch_size=4, num_threads=2, device_id=None, seed=1)
    def compact():
        encoded, labels = fn.readers.file(files=files, labels=list(range(NUMBER)), name="reader", pad_last_batch=True)
        images = fn.decoders.image(encoded, output_type=types.RGB)
        plan = MixUp().draw(images)
        mixed, _ = MixUp().apply(images, None, plan)
        return mixed, fn.reshape(labels, shape=[]), plan.partner, plan.lam

    for images, labels, plan in Loader(compact(), ("images", "labels", "plan.partner", "plan.lam")):
        assert isinstance(plan, Plan)
        own = torch.from_numpy(COLOURS / 255).float()[labels.long() % 3]
        lam = plan.lam.unsqueeze(1)
        expected = lam * own + (1 - lam) * own[plan.partner]
        torch.testing.assert_close(images.mean((2, 3)), expected, atol=1e-6, rtol=0)


class Asking(Dataset):
    """A dataset whose items are made by DALI, in the main process."""

    def __init__(self, ask: Any) -> None:
        self.ask = ask

    def __len__(self) -> int:
        return NUMBER

    def __getitem__(self, n: int) -> Any:
        image = np.full((6, 8, 3), COLOURS[n % 3])
        return self.ask(image=image, label=np.array(n % 3, np.int32)), n


@pipeline_def(batch_size=4, num_threads=2, seed=1)
def proxied(mix: mixdali.Mix, device: str = "cpu"):
    images = fn.external_source(name="image", no_copy=True, layout="HWC")
    labels = fn.external_source(name="label", no_copy=True)
    targets = mixdali.one_hot(labels, 3)
    return mix(images.gpu(), targets.gpu()) if device == "gpu" else mix(images, targets)


def proxy_epoch(mix: mixdali.Mix, device_id: int | None = None, device: str = "cpu") -> list[Any]:
    with proxy.DALIServer(proxied(mix, device, device_id=device_id), deterministic=True) as server:
        # the proxy cannot be pickled, so its workers have to be forked
        how = {"batch_size": 4, "num_workers": 2, "multiprocessing_context": "fork"}
        return list(proxy.DataLoader(server, Asking(server.proxy), **how))


@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # Python 3.12 on, of its fork
@pytest.mark.usefixtures("forking")
def test_the_proxy_mixes_for_torch_workers_also_the_last_batch() -> None:
    first, again = proxy_epoch(CutMix()), proxy_epoch(CutMix())
    assert [len(index) for _, index in first] == [4, 4, 3]
    for ((images, targets), _), ((same_images, same_targets), _) in zip(first, again, strict=True):
        check(images, targets)
        assert torch.equal(images, same_images)
        assert torch.equal(targets, same_targets)
    assert any(bool((targets > 0).sum(1).max() > 1) for (_, targets), _ in first)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.usefixtures("forking")
def test_the_proxy_mixes_on_the_gpu() -> None:
    for (images, targets), _ in proxy_epoch(CutMix(), device_id=0, device="gpu"):
        assert images.is_cuda
        check(images.cpu(), targets.cpu())
