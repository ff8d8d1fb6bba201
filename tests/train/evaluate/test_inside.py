"""What is measured inside networks: on small arrays against slow loops, and on networks whose answers are planted."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pipelines.sources import digits
from pipelines.sources.source import Source
from tests.helpers.evaluations import classifier, held_out
from tests.helpers.shifts import memory
from train.evaluate.parts.boxes import digit_boxes, read_boxes
from train.evaluate.parts.class_maps import class_maps, enlarged, why_no_maps
from train.evaluate.parts.embedding import measure_embedding, tightness
from train.evaluate.parts.inside import places_of, read_inside
from train.evaluate.parts.localisation import box_above, intersection_over_union, measure_localisation
from train.evaluate.parts.pointing import draw_grids, lay, measure_pointing, why_not_larger
from train.evaluate.parts.spectrum import measure_spectrum, singular_values, spectrum
from train.evaluate.pictures.inside import draw_localisation, draw_spectrum
from train.models import build_model


class Seeing(nn.Module):
    """The class of an image of one colour on black is its colour, seen pixel by pixel: red, green, blue, white."""

    def __init__(self, pool: nn.Module | None = None, head: nn.Module | None = None) -> None:
        super().__init__()
        self.pool = pool or nn.AdaptiveAvgPool2d(1)
        self.head = head or nn.Linear(3, 4)
        if isinstance(self.head, nn.Linear):
            weight = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]])
            self.head.weight.data.copy_(weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(images).flatten(1))
        return out


COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)


def squares(count: int = 12, side: int = 16, seed: int = 0) -> tuple[Source, np.ndarray]:
    """Black images with a rectangle of the class's colour, and its box."""
    rng = np.random.default_rng(seed)
    pixels, boxes = np.zeros((count, side, side, 3), np.uint8), np.zeros((count, 4), int)
    for place in range(count):
        top, left = rng.integers(0, side // 2, 2)
        height, width = rng.integers(2, side // 2, 2)
        boxes[place] = left, top, left + width, top + height
        pixels[place, top : top + height, left : left + width] = COLOURS[place % 4]
    return Source(pixels, np.arange(count) % 4, tuple("rgbw")), boxes


def test_singular_values_are_those_of_the_centred_rows() -> None:
    values = torch.randn(7, 30, generator=torch.Generator().manual_seed(0))
    expected = np.linalg.svd(values.numpy() - values.numpy().mean(axis=0), compute_uv=False) / math.sqrt(6)
    np.testing.assert_allclose(singular_values(values), expected, atol=1e-5)


def test_the_spectrum_counts_directions() -> None:
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(40, 3, generator=generator))[0].T
    along = torch.linalg.qr(torch.randn(60, 3, generator=generator) - 0.0)[0]
    along = torch.linalg.qr(along - along.mean(dim=0))[0]
    found = spectrum(5.0 + along @ torch.diag(torch.tensor([6.0, 2.0, 1.0])) @ basis)
    assert found["largest"] == pytest.approx(6 / math.sqrt(59), rel=1e-4)
    assert found["rest"] == pytest.approx(3 / math.sqrt(59), rel=1e-3)
    assert found["share"] == pytest.approx(36 / 41, rel=1e-4)
    assert found["needed"] == 2
    assert found["curve"][1:3] == pytest.approx([40 / 41, 1.0], abs=1e-5)
    assert len(found["curve"]) == 50


def test_where_nothing_varies_no_direction_is_needed() -> None:
    assert spectrum(torch.ones(5, 4)) == {"largest": 0, "rest": 0, "share": 0, "needed": 0, "curve": [0.0] * 50}


def test_a_flatter_class_needs_fewer_directions_at_the_stage_where_it_is_flat() -> None:
    class Flat(nn.Module):
        """All images of a class become one point and noise along one line."""

        def __init__(self) -> None:
            super().__init__()
            self.layer1, self.layer2 = nn.Identity(), nn.Conv2d(3, 3, 1, bias=False)
            self.fc = nn.Linear(3, 4)
            self.layer2.weight.data = torch.ones(3, 3, 1, 1)

        def forward(self, images: Tensor) -> Tensor:
            hidden = self.layer2(self.layer1(images).mean(dim=(2, 3), keepdim=True))
            out: Tensor = self.fc(hidden.flatten(1))
            return out

    rng = np.random.default_rng(0)
    source = Source(rng.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8), np.arange(40) % 4)
    known, remember = memory()
    found = measure_spectrum({"n": classifier(Flat())}, held_out(source), remember=remember)["n"]
    assert list(found) == ["input", "stage1", "stage2", "embedding"]
    assert found["stage1"]["needed"] > 5
    assert found["stage2"]["needed"] == found["embedding"]["needed"] == 1
    assert found["stage2"]["share"] == pytest.approx(1)
    assert (len(known), found["input"]["classes"]) == (4, 4)
    rows = torch.from_numpy(source.items[source.labels == 2]).permute(0, 3, 1, 2).flatten(1).float() / 255
    assert known["n 2"]["input"]["largest"] == pytest.approx(float(singular_values(rows)[0]), rel=1e-5)


def test_places_are_seen_as_they_are_whatever_the_next_layer_does_to_them() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 5))
    source = Source(np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8), np.arange(6) % 4)
    wrapped, images = classifier(network), held_out(source, 5)
    found, labels = read_inside(wrapped, images, ["0", "embedding"])
    (batch,) = images
    with torch.no_grad():
        expected = network[0](batch.images)
    torch.testing.assert_close(found["0"], expected.flatten(1))
    torch.testing.assert_close(found["embedding"], expected.relu().flatten(1))
    assert labels.tolist() == [0, 1, 2, 3, 0, 1]
    assert places_of(wrapped) == ["input", "stage1", "stage2", "embedding"]


def slow_tightness(values: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    pairs = [(i, j, float(np.sum((unit[i] - unit[j]) ** 2))) for i, j in itertools.combinations(range(len(unit)), 2)]
    alike = [d for i, j, d in pairs if labels[i] == labels[j]]
    apart = [d for i, j, d in pairs if labels[i] != labels[j]]
    return float(np.mean(alike)), float(np.mean(apart)), math.log(np.mean([math.exp(-2 * d) for _, _, d in pairs]))


def test_alignment_and_uniformity_are_means_over_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(23, 6)), rng.integers(0, 4, 23)
    for rows in (1000, 5):
        monkeypatch.setattr("train.evaluate.parts.embedding.ROWS", rows)
        found = tightness(torch.from_numpy(values), torch.from_numpy(labels))
        expected = slow_tightness(values, labels)
        assert [found[key] for key in ("alignment", "apart", "uniformity")] == pytest.approx(expected, rel=1e-9)
        assert (found["zero"], found["dimensions"]) == (0, 6)


def test_planted_embeddings_have_the_alignment_that_they_must() -> None:
    labels = torch.arange(8) % 2
    opposite = torch.tensor([[3.0, 0.0], [-1.0, 0.0]])[labels]
    found = tightness(opposite, labels)
    assert (found["alignment"], found["apart"]) == pytest.approx((0, 4))
    same = tightness(torch.ones(8, 3), labels)
    assert (same["alignment"], same["uniformity"]) == pytest.approx((0, 0), abs=1e-12)
    assert tightness(torch.cat([opposite[:7], torch.zeros(1, 2)]), labels)["zero"] == 1
    with pytest.raises(ValueError, match="two images of one class and two classes at least"):
        tightness(opposite, torch.zeros(8))


def test_the_embedding_is_what_enters_the_last_linear_layer() -> None:
    source, _ = squares()
    found = measure_embedding({"n": classifier(Seeing())}, held_out(source))["n"]
    means = source.items.mean(axis=(1, 2)) / 255
    expected = slow_tightness(means, source.labels)
    assert (found["alignment"], found["apart"], found["uniformity"]) == pytest.approx(expected, abs=1e-5)
    assert found["alignment"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["CAM", "Grad-CAM"])
def test_a_class_map_is_where_the_class_is(kind: str) -> None:
    head = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 4, bias=False)) if kind == "Grad-CAM" else None
    network = Seeing(head=head)
    if head is not None:
        turned = torch.eye(3).roll(1, 0)
        head[0].weight.data, head[1].weight.data = turned, Seeing().head.weight.data @ turned.T
    source, boxes = squares()
    (batch,) = held_out(source, batch_size=12)
    maps, found = class_maps(classifier(network), batch.images, batch.labels)
    assert found == kind
    assert maps.shape == (12, 16, 16)
    for one, (left, top, right, bottom) in zip(maps, boxes.tolist(), strict=True):
        inside = torch.zeros(16, 16, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        assert torch.equal(one > 0, inside)


def test_cam_of_a_network_of_ours_sums_to_its_logit() -> None:
    for name in ("preact_resnet8_w4", "cifar_resnet20_w4"):
        module = build_model(name, num_classes=4, mean=(0.4,) * 3, std=(0.2,) * 3, seed=0)
        network = classifier(module)
        images, labels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([2, 0, 3])
        maps, kind = class_maps(network, images, labels)
        head = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
        logits = network(images).gather(1, labels.unsqueeze(1)).squeeze(1)
        assert (kind, tuple(maps.shape)) == ("CAM", (3, 4, 4))
        torch.testing.assert_close(maps.mean(dim=(1, 2)) + head.bias[labels], logits, atol=1e-4, rtol=1e-3)


def test_maps_are_enlarged_and_reach_from_0_to_1() -> None:
    maps = torch.tensor([[[0.0, 2.0], [4.0, 6.0]], [[3.0, 3.0], [3.0, 3.0]]])
    large = enlarged(maps, (4, 4))
    assert (large[0].min(), large[0].max()) == (0, 1)
    assert large[0, 0, 1] == pytest.approx(0.5 / 6)
    assert not large[1].any()


def test_the_box_is_around_the_largest_area() -> None:
    values = np.zeros((6, 8))
    values[0, 0] = values[0, 7] = 1
    values[2:5, 3:5] = 0.5
    assert box_above(values, 0.2) == (3, 2, 5, 5)
    assert box_above(values, 0.5) == (0, 0, 1, 1)
    assert box_above(values, 1) is None


def test_intersection_over_union_counts_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        grids, boxes = [], []
        for _ in range(2):
            (left, right), (top, bottom) = (sorted(rng.choice(9, 2, replace=False).tolist()) for _ in range(2))
            grid = np.zeros((8, 8), bool)
            grid[top:bottom, left:right] = True
            grids.append(grid)
            boxes.append((left, top, right, bottom))
        expected = (grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum()
        assert intersection_over_union(*boxes) == pytest.approx(expected)
    assert intersection_over_union(None, (0, 0, 1, 1)) == 0


def test_who_sees_the_object_finds_it_and_who_looks_elsewhere_does_not() -> None:
    source, boxes = squares(21)
    blind = Seeing()
    blind.head.weight.data *= -1
    images, (known, remember) = held_out(source, batch_size=8), memory()
    found = measure_localisation(
        {"n": classifier(Seeing()), "blind": classifier(blind)}, images, boxes, remember=remember
    )
    for key in ("localised", "top1", "iou", "best"):
        assert found["n"][key] == 1, key
    assert found["n"]["by_threshold"] == {f"0.{level}": 1 for level in range(1, 10)}
    assert found["blind"]["localised"] == found["blind"]["whole"] == found["n"]["whole"] < 0.3
    assert found["blind"]["top1"] == 0
    assert (found["n"]["method"], found["n"]["map"], len(known)) == ("CAM", [16, 16], 6)
    with pytest.raises(ValueError, match=re.escape("boxes must be (N, 4) for 21 images, got (20, 4)")):
        measure_localisation({"n": classifier(Seeing())}, images, boxes[:20])


def test_a_class_that_is_seen_in_its_cell_has_the_whole_map_there() -> None:
    source, _ = squares(16)
    images = held_out(source, batch_size=10)
    found = measure_pointing({"n": classifier(Seeing())}, images, seed=0)["n"]
    # of white the map is positive on every colour, and greatest on white
    assert found["found"] == 1
    assert 0.75 < found["share"] < 1
    assert (found["images"], found["method"]) == (16, "CAM")
    assert found == measure_pointing({"n": classifier(Seeing())}, images, seed=0)["n"]
    assert found != measure_pointing({"n": classifier(Seeing())}, images, seed=1)["n"]


def test_a_network_that_sees_every_class_everywhere_points_by_chance() -> None:
    class Even(Seeing):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(torch.ones_like(images))

    source, _ = squares(16)
    even = Even()
    nn.init.ones_(even.head.weight)
    assert measure_pointing({"n": classifier(even)}, held_out(source), seed=0)["n"]["share"] == pytest.approx(0.25)
    nn.init.constant_(even.head.weight, -1)
    assert measure_pointing({"n": classifier(even)}, held_out(source), seed=0)["n"]["share"] == 0
    white = Source(source.items[3::4], source.labels[3::4])
    with pytest.raises(ValueError, match="images of 4 classes at least, got 1"):
        measure_pointing({"n": classifier(even)}, held_out(white), seed=0)


def test_four_images_of_four_classes_lie_in_the_cells_that_were_drawn() -> None:
    source, _ = squares(20)
    images = held_out(source, batch_size=8)
    grids, cells = draw_grids(images.spread(5), images, seed=3)
    labels = np.array(grids.source.labels).reshape(5, 4)
    assert (np.sort(labels, axis=1) == np.arange(4)).all()
    assert grids.source.index.tolist()[::4] == images.spread(5).source.index.tolist()
    made = torch.cat([lay(batch.images, part) for batch, part in zip(grids, np.split(cells, [2, 4]), strict=True)])
    for row, (grid, own) in enumerate(zip(made, cells.tolist(), strict=True)):
        for image, cell in zip(grids.source.items[4 * row : 4 * row + 4], own, strict=True):
            top, left = 16 * (cell // 2), 16 * (cell % 2)
            part = grid[:, top : top + 16, left : left + 16]
            torch.testing.assert_close(part, torch.from_numpy(image).permute(2, 0, 1).float() / 255)


def test_networks_without_maps_or_of_one_size_say_so() -> None:
    flat = classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)))
    images = held_out(squares()[0])
    assert "has no pooling layer" in (why_no_maps(flat) or "")
    assert "32 x 32 pixels, which it refuses" in (why_not_larger(flat, images) or "")
    assert why_no_maps(classifier(Seeing())) is why_not_larger(classifier(Seeing()), images) is None


def test_the_boxes_of_the_digits_are_where_something_was_drawn() -> None:
    pixels, boxes = digits.draw_test()
    assert pixels.shape == (digits.NUM_TEST, 32, 32, 3)
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert boxes.min() == 0
    assert boxes.max() == 32
    # digits are high, and cells of 0.7 to 0.9 of an eighth
    assert 20 < heights.mean() < 30
    assert 12 < widths.mean() < heights.mean()
    images = held_out(Source(pixels[[5, 900]], np.zeros(2, int), index=np.array([5, 900])))
    assert digit_boxes(images).tolist() == boxes[[5, 900]].tolist()
    other = held_out(Source(pixels[[5, 900]], np.zeros(2, int), index=np.array([5, 6])))
    with pytest.raises(ValueError, match="drawn by other versions of scikit-learn and Pillow"):
        digit_boxes(other)


def test_boxes_of_a_file_follow_the_crop_of_the_pipeline(tmp_path: Path) -> None:
    size = {"val/a/wide.png": (600, 300), "val/b/high.png": (256, 512)}
    lines, paths = ["# name left top right bottom"], []
    for name, (width, height) in size.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        box = (width // 2 - 60, height // 2 - 40, width // 2 + 50, height // 2 + 30)
        picture = np.zeros((height, width, 3), np.uint8)
        picture[box[1] : box[3], box[0] : box[2]] = 255
        Image.fromarray(picture).save(path)
        paths.append(str(path))
        lines.append(f"{name.removeprefix('val/')} {' '.join(map(str, box))}")
    (tmp_path / "boxes.txt").write_text("\n".join(lines))
    images: Any = held_out(Source(np.zeros((1, 224, 224, 3), np.uint8), np.zeros(1, int)))
    images = type(images)(
        Source(paths, np.arange(2)), "imagenet", 2, (224, 224), 2, images.world, images.stop, {"crop_share": 0.9}
    )
    found = read_boxes(tmp_path / "boxes.txt", images)
    (batch,) = images
    for image, box in zip(batch.images, found, strict=True):
        expected = box_above(image.mean(dim=0).numpy(), 0.5)
        assert box == pytest.approx(expected, abs=1)
    for text, message in {
        "a/wide.png 1 2 3": "line 1 must be NAME LEFT TOP RIGHT BOTTOM, got 'a/wide.png 1 2 3'",
        "a/wide.png 1 2 3 4": r"has no line for b/high.png \(1 of 2 images\)",
        "a/wide.png 1 2 3 4\na/wide.png 1 2 3 4": "line 2: a/wide.png has a second box",
        "a/wide.png 9 2 3 4\nb/high.png 1 2 3 4": r"a/wide.png has \[9.0, 2.0, 3.0, 4.0\], which is no box in \[600, 3",
        "": "lists no image",
    }.items():
        (tmp_path / "wrong.txt").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_boxes(tmp_path / "wrong.txt", images)
    with pytest.raises(FileNotFoundError, match="boxes: there is no file"):
        read_boxes(tmp_path / "none.txt", images)


def test_pictures_of_what_is_inside(tmp_path: Path) -> None:
    source, boxes = squares()
    networks = {"a": classifier(Seeing()), "b": classifier(Seeing())}
    draw_spectrum(tmp_path / "one.png", measure_spectrum(networks, held_out(source)), "one")
    draw_localisation(tmp_path / "two.png", measure_localisation(networks, held_out(source), boxes), "two", 12)
    for name in ("one", "two"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size[0] > 300
