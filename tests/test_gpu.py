"""What the CPU's tests claim, on a GPU; and what can be told of GPU graphs without one."""

from collections import Counter
from pathlib import Path

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
import torch
from nvidia.dali import fn, pipeline_def
from nvidia.dali.pipeline import Pipeline
from PIL import Image

import mixdali
from mixdali import Choose, CutMix, MixUp, Plan
from pipelines import cifar, imagenet
from pipelines.sources.source import Source
from tests.helpers.methods import METHODS, PIXEL_METHODS

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


@pytest.mark.parametrize("method", METHODS | PIXEL_METHODS)
def test_a_mix_of_gpu_images_stays_there_and_draws_on_the_cpu(method: str) -> None:
    pipeline, plan = painted_graph((METHODS | PIXEL_METHODS)[method], 3)
    assert [node.device for node in pipeline._graph_outputs[:2]] == ["gpu", "gpu"]
    assert {node.device for node in plan.parts().values()} == {"cpu"}


def painted_graph(mix: mixdali.Mix, number: int) -> tuple[Pipeline, Plan]:
    """A graph of images on the GPU, whose outputs are the mixed batch and the parts of its plan; and the plan's nodes.

    The plan is drawn with targets on the CPU, where the rules that ask for classes want them.
    """
    plans: list[Plan] = []

    @pipeline_def(batch_size=number, num_threads=2, device_id=0, seed=number)
    def pipeline():
        images = fn.external_source(source=lambda i: painted(number), batch=True, layout="HWC").gpu()
        targets = fn.external_source(source=lambda i: np.eye(number, dtype=np.float32), batch=True)
        plan = mix.draw(images, targets=targets)
        plans.append(plan)
        return (*mix.apply(images, targets.gpu(), plan), *plan.parts().values())

    made = pipeline()
    made._build_graph()
    return made, plans[0]


def gpu_operators(mix: mixdali.Mix | None, **form: object) -> Counter[str]:
    """What runs on the GPU of a graph that resizes, mixes and moves targets there; copies are no operators."""

    @pipeline_def(batch_size=4, num_threads=1, device_id=0, seed=0)
    def pipeline():
        encoded, labels = fn.readers.file(files=["a.jpg"] * 4, labels=[0, 1, 2, 0])
        images = fn.resize(fn.decoders.image(encoded, device="mixed"), size=(8, 8))
        targets = mixdali.one_hot(labels, 3).gpu()
        return (mixdali.to_float(images, **form), targets) if mix is None else mix(images, targets, **form)

    made = pipeline()
    made._build_graph()
    return Counter(type(one._op).__name__ for one in made._ops if one._op.device == "gpu")


@pytest.mark.parametrize(
    ("mix", "most"),
    [
        (None, 3),
        (MixUp(), 6),
        (CutMix(), 5),
        (BOTH, 7),
        (mixdali.ResizeMix(), 6),
        (mixdali.HMix(), 7),
        (mixdali.GridMix(), 8),
        (mixdali.SmoothMix(), 8),
        (mixdali.DirichletMixUp(), 9),
        (mixdali.Mosaic(), 14),
    ],
    ids=str,
)
def test_a_gpu_graph_stays_small(mix: mixdali.Mix | None, most: int) -> None:
    """The resize is one of them. One converts and scales an image, one adds two; boxes are put together as bytes."""
    operators = gpu_operators(mix)
    assert operators.total() <= most
    normalised = gpu_operators(mix, mean=(0.5, 0.4, 0.3), std=0.2, output_layout="HWC")
    assert normalised == operators
    halves = gpu_operators(mix, dtype="float16")
    assert halves.total() <= operators.total() + 1


def painted(number: int) -> np.ndarray:
    """Image n is white in channel n and black in all others."""
    return np.eye(number, dtype=np.uint8)[:, None, None] * np.full((1, 7, 9, 1), 255, np.uint8)


def assert_target_follows_pixels(images: torch.Tensor, targets: torch.Tensor) -> None:
    assert images.is_cuda
    assert targets.is_cuda
    torch.testing.assert_close(images.double().mean((2, 3)), targets.double(), rtol=0, atol=1e-6)


def drawn_on_the_cpu(mix: mixdali.Mix, number: int) -> tuple[torch.Tensor, torch.Tensor, Plan]:
    images, targets = mixdali.to_float(torch.from_numpy(painted(number)).permute(0, 3, 1, 2)), torch.eye(number)
    return images, targets, mix.draw(images, targets=targets, rng=torch.Generator().manual_seed(number))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [1, 2, 3, 8])
class TestOnTheGPU:
    pytestmark = on_gpu

    def test_target_follows_the_pixels_of_a_graph(self, method: str, number: int) -> None:
        outputs = painted_graph(METHODS[method], number)[0].run()
        assert_target_follows_pixels(*(torch.from_dlpack(output.as_tensor()) for output in outputs[:2]))

    def test_target_follows_the_pixels_of_dynamic_mode(self, method: str, number: int) -> None:
        images = ndd.as_batch(painted(number), layout="HWC").gpu()
        targets = ndd.as_batch(np.eye(number, dtype=np.float32))
        plan = METHODS[method].draw(images, targets=targets, rng=ndd.random.RNG(seed=number))
        mixed = METHODS[method].apply(images, targets.gpu(), plan)
        assert_target_follows_pixels(*(torch.from_dlpack(ndd.as_tensor(part)) for part in mixed))

    def test_target_follows_the_pixels_of_tensors(self, method: str, number: int) -> None:
        images, targets, _ = drawn_on_the_cpu(METHODS[method], number)
        plan = METHODS[method].draw(images.cuda(), targets=targets.cuda())
        assert all(value.is_cuda for value in plan.parts().values())
        assert_target_follows_pixels(*METHODS[method].apply(images.cuda(), targets.cuda(), plan))


@pytest.mark.parametrize("method", METHODS | PIXEL_METHODS)
class TestAgainstTheCPU:
    """Of three channels, for the colours among the methods."""

    pytestmark = on_gpu

    def test_the_plan_of_a_graph_gives_the_same_in_torch(self, method: str) -> None:
        mix = (METHODS | PIXEL_METHODS)[method]
        pipeline, plan = painted_graph(mix, 3)
        outputs = [torch.from_dlpack(output.as_cpu().as_tensor()) for output in pipeline.run()]
        again = Plan.of_parts(dict(zip(plan.parts(), outputs[2:], strict=True)))
        images, targets, _ = drawn_on_the_cpu(mix, 3)
        for one, other in zip(mix.apply(images, targets, again), outputs[:2], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)

    def test_tensors_give_the_same_on_both_devices(self, method: str) -> None:
        mix = (METHODS | PIXEL_METHODS)[method]
        images, targets, plan = drawn_on_the_cpu(mix, 3)
        there = mix.draw(images.cuda(), targets=targets.cuda(), rng=torch.Generator().manual_seed(3))
        for name, value in plan.parts().items():
            torch.testing.assert_close(there.parts()[name].cpu(), value, rtol=0, atol=0)
        for used in (plan, there):
            mixed = mix.apply(images.cuda(), targets.cuda(), used)
            for one, other in zip(mixed, mix.apply(images, targets, plan), strict=True):
                torch.testing.assert_close(one.cpu(), other, rtol=0, atol=1e-6)


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
