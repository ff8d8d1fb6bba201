"""Draw the pictures of docs/architecture.md, from the code itself: python -m docs.architecture

`rooms.svg` shows who imports whom, in the order that tests/test_boundaries.py holds; `flow.svg` the way of a batch,
whose functions have to exist.
"""

import ast
from collections import Counter
from html import escape
from pathlib import Path

from tests.test_boundaries import FILES, TABLE, TOPS, arrows, modules, place_of

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs"
# Of a package: its lines and texts, and what lies behind them.
COLOURS = {
    "mixdali": ("#1f6fb2", "#e9f2fb"),
    "pipelines": ("#23806a", "#e6f4ef"),
    "train": ("#b8541f", "#fcefe6"),
    "": ("#5b6470", "#f1f3f5"),
}
INK, SOFT, GUIDE = "#1d2430", "#5b6470", "#d9dee4"
FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Roboto, sans-serif\""


def main() -> None:
    for name, picture in pictures().items():
        (FOLDER / name).write_text(picture)


def pictures() -> dict[str, str]:
    return {"rooms.svg": draw_rooms(), "flow.svg": draw_flow()}


# Who imports whom


def rooms() -> dict[str, str]:
    """The room of each place in the table, in the table's order.

    A folder and its subfolders are one room where a line of the table has them together, and so are a line's files.
    """
    found: dict[str, str] = {}
    for line in (line.split() for line in TABLE.split("\n") if line.strip()):
        files = [place for place in line if place.endswith(".py")]
        for place in line:
            around = [other for other in line if place != other and place.startswith(f"{other}/")]
            if place in files and not around:
                found[place] = f"{place.partition('/')[0]}/{' · '.join(Path(file).stem for file in files)}"
            else:
                found[place] = min([place, *around], key=len)
    return found


def imports() -> Counter[tuple[str, str]]:
    """How many imports lead from a room to another one."""
    room, known = rooms(), modules()
    found: Counter[tuple[str, str]] = Counter()
    for path in FILES:
        for other in arrows(path, (ROOT / path).read_text(), known):
            found[room[place_of(path)], room[place_of(other)]] += 1
    return Counter({pair: count for pair, count in found.items() if pair[0] != pair[1]})


STEP, ROW, LEFT, TOP, LABEL = 14, 23, 112, 16, 130


def draw_rooms() -> str:
    """A room a line, its name at the end of it; a dot for a room that it imports, below that one's name."""
    order = list(dict.fromkeys(rooms().values()))
    found = imports()
    width, height = LEFT + len(order) * STEP + LABEL, TOP + len(order) * ROW + 16
    x = {room: LEFT + n * STEP for n, room in enumerate(order)}
    y = {room: TOP + n * ROW + ROW / 2 for n, room in enumerate(order)}
    parts = []
    for top in TOPS:
        own = [room for room in order if package_of(room) == top]
        first, last = y[own[0]] - ROW / 2, y[own[-1]] + ROW / 2
        ink, tint = COLOURS[top]
        parts += [
            f'<rect x="12" y="{first + 1:g}" width="{width - 24}" height="{last - first - 2:g}" rx="6" fill="{tint}"/>',
            text(22, first + 21, top, colour=ink, size=15, weight=700),
        ]
    for room in order:
        users = [y[one] for one, other in found if other == room]
        used = [x[other] for one, other in found if one == room]
        if users:
            parts.append(line(x[room], y[room] + 8, x[room], max(users)))
        if used:
            parts.append(line(min(used), y[room], x[room] - 2, y[room]))
    for (one, other), count in sorted(found.items()):
        ink = COLOURS[package_of(other)][0]
        said = f"{one} imports {other} ({count} {'import' if count == 1 else 'imports'})"
        parts.append(
            f'<circle cx="{x[other]}" cy="{y[one]:g}" r="4.2" fill="{ink}"><title>{escape(said)}</title></circle>'
        )
    for room in order:
        ink, name = COLOURS[package_of(room)][0], room.partition("/")[2] or f"{package_of(room)} itself"
        parts.append(f'<rect x="{x[room] - 4}" y="{y[room] - 4:g}" width="8" height="8" rx="2" fill="{ink}"/>')
        parts.append(text(x[room] + 11, y[room] + 4.5, name, colour=INK, size=14.5))
    legend = [
        "A line is a room; its name stands at its end.",
        "A dot: this room imports the one whose",
        "name stands straight above the dot.",
        "No dot lies right of its line's name:",
        "nothing imports what comes after it.",
    ]
    start = LEFT + 20 * STEP
    parts += [text(start + 60, TOP + 22 + 20 * n, said, colour=SOFT, size=13.5) for n, said in enumerate(legend)]
    return svg(width, height, parts, "The rooms of mixdali, pipelines and train, and which of them import which")


# The way of a batch

# Of each station: its package, its functions, what they do, and what goes on from it.
FLOW = [
    (
        "pipelines",
        ["pipelines.sources.files.read_folder"],
        "lists files and labels; every image gets its index",
        "a Source",
    ),
    (
        "pipelines",
        ["pipelines.imagenet.train_pipeline", "pipelines.augment.resize.resize"],
        "DALI decodes, crops, flips and resizes; shuffling and crops follow from the seed",
        "uint8 (H, W, 3), label, index",
    ),
    ("mixdali", ["mixdali.targets.one_hot"], "labels become probabilities", "targets (num_classes,)"),
    (
        "mixdali",
        ["mixdali.mix.Mix.draw", "mixdali.mix.Mix.apply"],
        "first all randomness, a plan; then pixels and targets, mixed and converted in one pass",
        "float (3, H, W) in [0, 1], targets",
    ),
    (
        "mixdali",
        ["mixdali.loading.loader.Loader", "mixdali.loading.handover.to_torch"],
        "an iterable of torch batches that can be resumed within an epoch",
        "named tuple of tensors (N, ...)",
    ),
    ("train", ["train.loop.epochs.make_batch"], "to the model's device, with epoch and step", "Batch"),
    (
        "train",
        ["train.objectives.objective.Objective.draw"],
        "all randomness of the step, by name",
        "draws",
    ),
    (
        "train",
        ["train.objectives.adversarial.Attacking.perturb", "train.attacks.pgd.PGD.search"],
        "only where the objective attacks: images near these on which the loss is large",
        "images (N, 3, H, W) in [0, 1]",
    ),
    (
        "train",
        ["train.models.normalise.Normalise", "train.objectives.cross_entropy.cross_entropy"],
        "the network, whose first layer normalises; the loss of its logits against the targets",
        "loss (), metrics",
    ),
    (
        "train",
        ["train.loop.epochs.train_step"],
        "backward, optimiser, schedule, after_step, average of the weights",
        "",
    ),
]


def draw_flow() -> str:
    width, left, box, tall, gap = 860, 20, 820, 58, 34
    parts, y = [], 20.0
    for number, (top, functions, said, passed) in enumerate(FLOW):
        ink, tint = COLOURS[top]
        names = "   ".join(function.removeprefix(f"{top}.") for function in functions)
        parts += [
            f'<rect x="{left}" y="{y:g}" width="{box}" height="{tall}" rx="8" fill="{tint}"/>',
            f'<rect x="{left}" y="{y:g}" width="6" height="{tall}" rx="3" fill="{ink}"/>',
            text(left + 20, y + 24, top, colour=ink, size=14, weight=700),
            text(left + 108, y + 24, names, colour=INK, size=14, mono=True),
            text(left + 108, y + 45, said, colour=SOFT, size=14),
        ]
        y += tall
        if number < len(FLOW) - 1:
            middle = left + 58
            parts += [
                line(middle, y + 3, middle, y + gap - 9, colour=SOFT, wide=1.6),
                f'<path d="M{middle - 5} {y + gap - 10:g}h10l-5 8z" fill="{SOFT}"/>',
                text(left + 108, y + 22, passed, colour=INK, size=13.5, style="italic"),
            ]
            y += gap
    return svg(width, round(y + 20), parts, "The way of one batch from files to the step of the optimiser")


def exists(function: str) -> bool:
    """Whether a name such as `mixdali.mix.Mix.draw` is defined where it says, read from the text."""
    words = function.split(".")
    for number in range(len(words) - 1, 0, -1):
        module = ROOT.joinpath(*words[:number])
        path = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
        if path.exists():
            body = ast.parse(path.read_text()).body
            for word in words[number:]:
                kinds = (ast.FunctionDef, ast.ClassDef)
                one = next((node for node in body if isinstance(node, kinds) and node.name == word), None)
                if one is None:
                    return False
                body = one.body
            return True
    return False


# SVG


def package_of(room: str) -> str:
    return room.partition("/")[0]


def text(
    x: float,
    y: float,
    said: str,
    *,
    colour: str,
    size: float,
    weight: int = 400,
    mono: bool = False,
    style: str = "normal",
) -> str:
    font = "font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" " if mono else ""
    slant = f' font-style="{style}"' if style != "normal" else ""
    size = size - 1 if mono else size
    return (
        f'<text {font}x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" fill="{colour}"{slant} '
        f'xml:space="preserve">{escape(said)}</text>'
    )


def line(x: float, y: float, to_x: float, to_y: float, *, colour: str = GUIDE, wide: float = 1.0) -> str:
    return f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" stroke="{colour}" stroke-width="{wide:g}"/>'


def svg(width: float, height: float, parts: list[str], title: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" {FONT}>'
    card = f'<rect width="{width:g}" height="{height:g}" rx="10" fill="#ffffff"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", card, *parts, "</svg>\n"])


if __name__ == "__main__":
    main()
