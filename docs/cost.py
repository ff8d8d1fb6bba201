"""Draw docs/cost.svg, what a loader costs without a mix and with one, from docs/benchmarks.md: python -m docs.cost

The numbers are those of the table below "Beside other loaders", as the benchmark printed it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from docs.architecture import COLOURS, GUIDE, INK, SOFT, line, svg, text

DOCS = Path(__file__).parent
PAGE, PICTURE = DOCS / "benchmarks.md", DOCS / "cost.svg"
SECTION = "## Beside other loaders"
# The name of each in the picture, and its rows in the table: without a mix, with MixUp.
LOADERS = {
    "mixdali": ("mixdali, no mix", "mixdali, MixUp"),
    "FFCV": ("FFCV, no mix", "FFCV, ImageMixup"),
    "timm": ("timm, no mix", "timm, FastCollateMixup"),
    "torchvision, tensors": ("torchvision v2, tensor, no mix", "torchvision v2, tensor, MixUp"),
    "torchvision, PIL": ("torchvision v2, PIL, no mix", "torchvision v2, PIL, MixUp"),
}
PLAIN, MIXED = "#a9b4c0", COLOURS["mixdali"][0]
LEFT, TOP, ROW, BAR, UNIT, WIDTH = 168, 66, 46, 14, 170, 760


@dataclass(frozen=True)
class Row:
    """CPU time for an image over that of mixdali with MixUp, with its scatter; the latter is 1 itself."""

    ratio: float
    scatter: float


def main() -> None:
    PICTURE.write_text(draw(read(PAGE.read_text())))


def read(page: str) -> dict[str, Row]:
    """The rows of the table by their names.

    Raises:
        ValueError: a row is missing.
    """
    part = page.partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    found = {}
    for name, cell in re.findall(r"^\| ([^|]+?) \| [\d,]+ \| ([^|]+?) \|", part, flags=re.MULTILINE):
        ratio, _, scatter = cell.partition(" ± ")
        found[name] = Row(float(ratio), float(scatter or 0))
    for name in (row for rows in LOADERS.values() for row in rows):
        if name not in found:
            raise ValueError(f"{PAGE.name} has no row {name!r} below {SECTION!r}")
    return found


def draw(rows: dict[str, Row]) -> str:
    """Two bars a loader."""
    height = TOP + len(LOADERS) * ROW + 34
    parts = [
        text(20, 28, "CPU time for an image of 224 px, mixdali with MixUp = 1", colour=INK, size=15, weight=700),
        f'<rect x="20" y="40" width="12" height="12" rx="2" fill="{PLAIN}"/>',
        text(38, 50.5, "no mix", colour=SOFT, size=13),
        f'<rect x="100" y="40" width="12" height="12" rx="2" fill="{MIXED}"/>',
        text(118, 50.5, "with mixup; a line is the scatter between rounds", colour=SOFT, size=13),
    ]
    bottom = TOP + len(LOADERS) * ROW
    for mark in range(4):
        x = LEFT + mark * UNIT
        parts += [line(x, TOP - 4, x, bottom, colour=GUIDE), text(x - 4, bottom + 18, f"{mark}", colour=SOFT, size=12)]
    for place, (name, pair) in enumerate(LOADERS.items()):
        y = TOP + place * ROW + 6
        weight = 700 if name == "mixdali" else 400
        parts.append(text(20, y + BAR + 4, name, colour=INK, size=14, weight=weight))
        for number, (row, colour) in enumerate(zip((rows[one] for one in pair), (PLAIN, MIXED), strict=True)):
            top = y + number * (BAR + 2)
            end, middle = LEFT + row.ratio * UNIT, top + BAR / 2
            parts.append(
                f'<rect x="{LEFT}" y="{top:g}" width="{row.ratio * UNIT:g}" height="{BAR}" rx="2" fill="{colour}"/>'
            )
            if row.scatter:
                half = row.scatter * UNIT
                parts.append(line(end - half, middle, end + half, middle, colour=INK, wide=1.4))
            parts.append(text(end + row.scatter * UNIT + 6, top + BAR - 2.5, f"{row.ratio:.2f}", colour=SOFT, size=12))
    return svg(WIDTH, height, parts, "What loaders cost without a mix and with mixup, on two cores")


if __name__ == "__main__":
    main()
