"""GridMix."""

from dataclasses import dataclass
from typing import Any

from mixdali.checks import fraction, growing, positive, positive_int
from mixdali.draws import Draws
from mixdali.methods.boxes import drawn_place
from mixdali.methods.masks import MaskMix
from mixdali.plan import Plan
from mixdali.schedule import Alpha, check_alpha
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class GridMix(MaskMix):
    """The partner shows through a grid of square holes in a part of the image.

    Baek et al., "GridMix: Strong regularization through local context mapping", Pattern Recognition 109, 2021;
    Westlake-AI/openmixup, gridmix.py, after IlyaDobrynin/GridMixup. As that code: `per="batch",
    partner="permutation"`. The paper's further loss on every cell is not part of the mixing. A part that would be
    larger than the image, which that code can draw, is cut to it.

    alpha   the law of lam: in every cell the hole's side is int(cell * sqrt(1 - lam)), at least one pixel and at most
            the cell less one. What the target gets is measured.
    cells   how many along the width of the part: whole numbers, the fewest and the most.
    area    the part's share of the image, U(area), and
    aspect  its height by its width, U(aspect).

    Draws: partner, lam (N,) in [0, 1]; cells, area, aspect (N,) in [0, 1): where in the ranges; cy and cx (N,) in
    [0, 1): the part's place, int(room * draw) as in that code, so never the last that is possible, or its first pixel;
    coin.
    """

    alpha: Alpha = 1.0
    cells: tuple[int, int] = (2, 6)
    area: tuple[float, float] = (0.5, 1.0)
    aspect: tuple[float, float] = (0.5, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("GridMix: alpha", self.alpha)
        growing("GridMix: cells", self.cells, positive_int)
        growing("GridMix: area", self.area, fraction)
        growing("GridMix: aspect", self.aspect, positive)

    def plan(self, draws: Draws, world: World) -> Plan:
        def between(name: str, ends: tuple[float, float]) -> Any:
            return ends[0] + (ends[1] - ends[0]) * draws.uniform(name)

        height, width = world.at(world.size, 0), world.at(world.size, 1)
        fewest, most = self.cells
        cells = world.clamp(world.floor(between("cells", (fewest, most + 1.0))), float(fewest), float(most))
        area, aspect = between("area", self.area), between("aspect", self.aspect)
        part_width = world.clamp(world.floor(world.sqrt(world.floor(height * width * area) / aspect)), 1.0, width)
        part_height = world.clamp(world.floor(part_width * aspect), 1.0, height)
        cell = 0.0 - world.floor(0.0 - part_width / cells)
        hole = world.floor(cell * world.sqrt(1.0 - self.lam(draws, world, self.alpha)))
        hole = world.clamp(world.clamp(hole, 1.0, part_width), 0.0, cell - 1.0)
        sides = world.pair(part_height, part_width)
        room = world.size - sides
        start = world.floor(room * drawn_place(draws, world.clamp(room, 1.0, world.size), world))
        holes = [
            _holes(world.row(axis) - world.each(world.at(start, axis)), world.at(sides, axis), cell, hole, world)
            for axis in (0, 1)
        ]
        rows = holes[0] * world.each(0.0 - self.mixed(draws, world))
        lam = 1.0 + world.mean(rows) * world.mean(holes[1])
        return Plan(draws.partner(self.partner), lam, mask=world.outer(1.0, rows, holes[1]))


def _holes(pixels: Any, side: Any, cell: Any, hole: Any, world: World) -> Any:
    """1.0 for the pixels (N, H) or (N, W), counted from the part's first, that lie in a hole and 0.0 for the others."""
    cell_of_each = world.each(cell)
    in_cell = pixels - world.floor(pixels / cell_of_each) * cell_of_each
    in_part = world.hit(pixels >= 0.0) * world.hit(pixels < world.each(side))
    return in_part * world.hit(in_cell < world.each(hole))
