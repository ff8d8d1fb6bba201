"""What the CPU's tests claim, on a GPU; and what can be told of GPU graphs without one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from methods import METHODS
from nvidia.dali import fn, pipeline_def
from PIL import Image

import mixdali
from mixdali import Choose, CutMix, MixUp, Plan
from pipelines import cifar, imagenet
from pipelines.source import Source

BOTH = Choose([MixUp(), CutMix()], prob=0.8)
EVERYTHING = ("images", "targets", "labels", "index", "unmixed", "plan")

on_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]


@pytest.fixture(scope="module")
def arrays() -> Source:
    return Source(np.random.default_rng(0).integers(0, 256, (60, 10, 12, 3), dtype=np.uint8), np.arange(60) % 7)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for number in range(30):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        size = tuple(int(side) for side in rng.integers(40, 140, 2))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number:02}.jpg", quality=95)
    return Source(sorted(map(str, folder.iterdir())), np.arange(30) % 3)


@pytest.mark.parametrize("mix", [None, MixUp(), BOTH])
def test_every_output_of_a_gpu_graph_is_on_the_gpu(mix: mixdali.Mix | None, arrays: Source, files: Source) -> None:
    outputs = EVERYTHING if mix else EVERYTHING[:-1]
    settings = {"num_classes": 7, "batch_size": 4, "num_threads": 1, "device_id": 0}
    for pipeline in (
        cifar.train_pipeline(arrays, mix=mix, outputs=outputs, **settings),
        imagenet.train_pipeline(files, mix=mix, outputs=outputs, **settings),
        cifar.val_pipeline(arrays, outputs=EVERYTHING[:4], **settings),
        imagenet.val_pipeline(files, outputs=EVERYTHING[:4], **settings),
    ):
        pipeline._build_graph()
        assert {node.device for node in pipeline._graph_outputs} == {"gpu"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [1, 2, 3, 8])
class TestOnTheGPU:
    pytestmark = on_gpu

    def test_target_follows_the_pixels(self, method: str, number: int) -> None:
        painted = np.eye(number, dtype=np.uint8)[:, None, None] * np.full((1, 7, 9, 1), 255, np.uint8)

        @pipeline_def(batch_size=number, num_threads=2, device_id=0, seed=number)
        def pipeline():
            images = fn.external_source(source=lambda i: painted, batch=True, layout="HWC").gpu()
            targets = fn.external_source(source=lambda i: np.eye(number, dtype=np.float32), batch=True)
            return METHODS[method](images, targets.gpu())

        images, targets = (torch.from_dlpack(output.as_tensor()) for output in pipeline().run())
        assert images.is_cuda
        torch.testing.assert_close(images.double().mean((2, 3)), targets.double(), rtol=0, atol=1e-6)


class TestPipelinesOnTheGPU:
    pytestmark = on_gpu

    @pytest.mark.parametrize("mix", [MixUp(), CutMix(), BOTH])
    def test_the_mixed_batch_is_the_unmixed_one_mixed_by_its_plan(
        self, mix: mixdali.Mix, arrays: Source, files: Source
    ) -> None:
        for module, source, size in ((cifar, arrays, None), (imagenet, files, (20, 33))):
            loader = module.train_loader(
                source, batch_size=10, num_classes=7, mix=mix, outputs=EVERYTHING, size=size, device="gpu"
            )
            for batch in loader:
                assert all(value.is_cuda for value in batch[:-1])
                assert batch.images.min() >= 0
                assert batch.images.max() <= 1
                images, targets = mix.apply(batch.unmixed, mixdali.one_hot(batch.labels, 7), batch.plan)
                torch.testing.assert_close(batch.images, images, rtol=0, atol=1e-6)
                torch.testing.assert_close(batch.targets, targets, rtol=0, atol=1e-6)

    def test_gpu_and_cpu_draw_the_same(self, arrays: Source) -> None:
        def batch(device: str):
            return next(
                iter(
                    cifar.train_loader(
                        arrays, batch_size=20, num_classes=7, mix=BOTH, outputs=EVERYTHING, device=device
                    )
                )
            )

        gpu, cpu = batch("gpu"), batch("cpu")
        assert gpu.index.tolist() == cpu.index.tolist()
        torch.testing.assert_close(gpu.images.cpu(), cpu.images, rtol=0, atol=1e-6)
        assert isinstance(gpu.plan, Plan)
        torch.testing.assert_close(gpu.plan.lam.cpu(), cpu.plan.lam)

    @pytest.mark.parametrize("stop", [0, 2, 3, 4])
    def test_resuming_gives_the_same_bytes(self, stop: int, arrays: Source, files: Source) -> None:
        for module, source in ((cifar, arrays), (imagenet, files)):

            def loader(module=module, source=source) -> mixdali.Loader:
                return module.train_loader(source, batch_size=10, num_classes=7, size=24, mix=BOTH, device="gpu")

            first = loader()
            stream = (batch for _ in range(9) for batch in first)
            for _ in range(stop):
                next(stream)
            resumed = loader()
            resumed.load_state_dict(first.state_dict())
            for ours, theirs in zip(stream, resumed, strict=False):
                assert torch.equal(ours.images, theirs.images)
                assert torch.equal(ours.targets, theirs.targets)

    def test_validation_images_are_close_to_the_cpus(self, files: Source, tmp_path: Path) -> None:
        gpu, cpu = (
            torch.cat(
                [
                    b.images.cpu()
                    for b in imagenet.val_loader(files, batch_size=7, num_classes=3, size=49, device=device)
                ]
            )
            for device in ("gpu", "cpu")
        )
        assert ((gpu - cpu).abs() * 255).mean() < 1
