"""The python examples of the documentation run as they stand.

A page is run from top to bottom in one namespace, in an empty folder but for `photos/CLASS/*.jpg`, three classes. Two
names stand for what a reader fills in: `folder` is that folder, `num_classes` is 3.
"""

import inspect
import re
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import v2

import mixdali
from docs.pictures import PICTURES
from mixdali import CutMix, MixUp, Plan
from pipelines.expressions import parse_mix

ROOT = Path(__file__).parent.parent


def code(page: Path) -> str:
    """The page with all but its python blocks blanked, so that line numbers in errors are the page's own."""
    kept, inside = [], False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            line = ""
        kept.append(line if inside else "")
    return "\n".join(kept)


ABOVE = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "RESULTS.md")]
PAGES = {str(page.relative_to(ROOT)): page for page in [*ABOVE, *sorted((ROOT / "docs").rglob("*.md"))]}


def write_photos(root: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("bird", "cat", "dog"):
        folder = root / name
        folder.mkdir(parents=True)
        for n in range(8):
            Image.fromarray(rng.integers(256, size=(72, 80, 3), dtype=np.uint8)).save(folder / f"{n}.jpg")


@pytest.fixture
def beside_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12 on, of forks
@pytest.mark.usefixtures("beside_photos", "forking")
@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if code(page).strip()])
def test_the_examples_run(name: str) -> None:
    namespace: dict[str, Any] = {"__name__": "page", "folder": "photos", "num_classes": 3}
    exec(compile(code(PAGES[name]), name, "exec"), namespace)


def test_every_way_to_use_a_loader_has_an_example() -> None:
    examples = code(PAGES["docs/loaders.md"])
    for call in ("Loader", "mixed", "collate", "DatasetSource", "mixed_loss", "mixed_accuracy"):
        assert f"mixdali.{call}(" in examples
    for other in ("DALIGenericIterator(", "DALIClassificationIterator(", "DALIServer("):
        assert other in examples


def torchvision_and_ours(name: str, alpha: float) -> tuple[Any, mixdali.Mix]:
    """A pair from the table of docs/migration.md."""
    return {
        "MixUp": (v2.MixUp(alpha=alpha, num_classes=4), MixUp(alpha=alpha, per="batch", partner="roll")),
        "CutMix": (v2.CutMix(alpha=alpha, num_classes=4), CutMix(alpha=alpha, per="batch", partner="roll")),
    }[name]


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_the_line_for_torchvision_draws_by_torchvisions_law(name: str, alpha: float) -> None:
    theirs, ours = torchvision_and_ours(name, alpha)
    images, rng = torch.zeros(2, 3, 24, 40), torch.Generator().manual_seed(0)
    plans = [ours.draw(images, rng=rng) for _ in range(3000)]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        params = [theirs.make_params([images]) for _ in range(3000)]
    lam = "lam" if name == "MixUp" else "lam_adjusted"
    columns = [([float(plan.lam[0]) for plan in plans], [float(param[lam]) for param in params])]
    if name == "CutMix":
        # theirs is x1, y1, x2, y2, ours y0, x0, y1, x1
        for i, j in enumerate([1, 0, 3, 2]):
            columns.append(([int(plan.box[0, i]) for plan in plans], [int(param["box"][j]) for param in params]))
    for mine, others in columns:
        assert ks_2samp(mine, others).pvalue > 1e-3


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_the_line_for_torchvision_gives_torchvisions_batch(name: str) -> None:
    theirs, ours = torchvision_and_ours(name, 1.0)
    images, labels = torch.rand(4, 3, 24, 40, generator=torch.Generator().manual_seed(2)), torch.arange(4)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected, targets = theirs(images, labels)
    plan = ours.draw(images, rng=torch.Generator())
    lam, box = targets[0, 0].expand(4), None
    if name == "CutMix":
        ys, xs = (expected[0] != images[0]).any(0).nonzero().unbind(1)
        box = torch.stack([ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]).expand(4, 4)
    mixed = ours.apply(images, mixdali.one_hot(labels, 4), Plan(plan.partner, lam, box))
    torch.testing.assert_close(mixed[0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(mixed[1], targets, atol=1e-6, rtol=0)


def lines_for_others() -> list[str]:
    """The calls of mixdali in the right columns of docs/migration.md that are written out."""
    page = (ROOT / "docs" / "migration.md").read_text()
    columns = re.findall(r"^\|.*?\| (.*) \|$", page, flags=re.MULTILINE)
    calls = [call for column in columns for call in re.findall(r"`([A-Z]\w+\(.*?\))`", column)]
    return [call for call in dict.fromkeys(calls) if "..." not in call]


@pytest.mark.parametrize("line", lines_for_others())
def test_every_line_for_another_library_can_be_written(line: str) -> None:
    stands_for = {
        "a": 0.2,
        "b": 0.8,
        "p": 0.5,
        "n": 8,
        "s": (0.02, 0.33),
        "r": (0.3, 3.3),
        "q": 0.3,
        "h": 0.4,
        "v": 0.5,
    }
    images, targets = eval(line, {**vars(mixdali), **stands_for})(torch.rand(4, 3, 8, 8), torch.eye(4))
    assert (images.shape, targets.shape) == ((4, 3, 8, 8), (4, 4))


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_links_within_the_documentation_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        assert (page.parent / target).exists(), link
        assert not anchor or anchor in anchors(page.parent / target if target else page), link


ACCURACY = re.compile(r"accuracy|held-out|clean|PGD\b|FGSM|^noise|right at|(best|last)( epoch)?$", flags=re.IGNORECASE)
FOUND = re.compile(r"(\d+\.\d+) ?%?(?: ± [\d.]+)?(?: \[([\d.]+), ([\d.]+)\])?$")


def without_interval(text: str) -> list[str]:
    """The accuracies in the tables of a page that stand without an interval around them."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        for column in (number for number, head in enumerate(rows[0]) if ACCURACY.search(head)):
            cells = [row[column] for row in rows[2:] if len(row) > column]
            taken = [match for cell in cells if (match := FOUND.match(cell))]
            found += [m[0] for m in taken if m[2] is None or not float(m[2]) <= float(m[1]) <= float(m[3])]
    return found


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_every_accuracy_in_a_table_has_an_interval(page: Path) -> None:
    assert without_interval(page.read_text()) == []


def test_an_accuracy_without_an_interval_is_found() -> None:
    rows = ["| | accuracy | seconds |", "| --- | --- | --- |", "| a | 71.8 [70.9, 72.7] | 0.2 |", "| b | 72.4 | 0.3 |"]
    assert without_interval("\n".join(rows) + "\n") == ["72.4"]
    assert without_interval("\n".join([*rows[:3], "| b | 72.4 [70.1, 72.3] | 0.3 |"]) + "\n") == ["72.4 [70.1, 72.3]"]


METHODS_PAGE, METHODS_FOLDER = ROOT / "docs" / "methods.md", ROOT / "docs" / "methods"
METHODS = {
    name: value
    for name, value in vars(mixdali).items()
    if isinstance(value, type) and issubclass(value, mixdali.Mix) and not inspect.isabstract(value)
}
# One that draws all that its method can draw.
DRAWING = {name: f"{name}()" for name in METHODS} | {
    "Choose": "Choose([MixUp(), CutMix()])",
    "Noisy": "Noisy(MixUp())",
    "Cutout": "Cutout(value='noise')",
    "RandomErasing": "RandomErasing(value='noise')",
}


def section_of(name: str) -> str:
    """What docs/methods.md links to for a method: its page, from the section of its own if it has one."""
    ((page, anchor),) = re.findall(rf"^\| \[{name}\]\(([\w/.]+)(#\w+)?\)", METHODS_PAGE.read_text(), flags=re.MULTILINE)
    text = (METHODS_PAGE.parent / page).read_text()
    return text[text.index(f"## {name}\n") :] if anchor else text.partition("\n## ")[0]


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_of_a_method_is_on_its_page_with_its_default(name: str) -> None:
    shared = {field.name: field.default for field in fields(mixdali.Mix)} | {"partner": "cycle"}
    rows = dict(re.findall(r"^\| `(\w+)` \| (?:`(.*?)` )?\|", section_of(name), flags=re.MULTILINE))
    own = {field.name: field.default for field in fields(METHODS[name]) if field.init}
    expected = {key: value for key, value in own.items() if key not in shared or value != shared[key]}
    found = {key: eval(text) if text else MISSING for key, text in rows.items()}
    assert found == expected


def test_every_setting_that_methods_share_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", METHODS_PAGE.read_text(), flags=re.MULTILINE))
    assert {name: eval(text) for name, text in rows.items()} == {f.name: f.default for f in fields(mixdali.Mix)}


@pytest.mark.parametrize("name", METHODS)
def test_every_draw_of_a_method_is_on_its_page(name: str) -> None:
    mix = replace(parse_mix(DRAWING[name]), prob=0.5)
    with pytest.raises(TypeError, match="this mix draws ") as error:
        mix.draw(torch.zeros(4, 3, 8, 8), no_such_draw=0.5)
    drawn = set(str(error.value).split("this mix draws ")[1].partition(" (")[0].split(", "))
    (line,) = re.findall(r"^\*\*Draws:\*\* (.*?)\n\n", section_of(name) + "\n\n", flags=re.MULTILINE | re.DOTALL)
    listed = set(re.findall(r"`([\w.]+)`", line)) - {"i.name", "mix.name", "kept_k"}
    if name == "Choose":
        drawn = {draw for draw in drawn if draw in listed or "." not in draw}  # those of members are examples
    assert listed == drawn


def test_the_pictures_of_the_methods_are_small_and_all_there() -> None:
    shown = set(re.findall(r"\]\(([\w-]+)\.png\)", "".join(page.read_text() for page in METHODS_FOLDER.glob("*.md"))))
    shown |= set(re.findall(r"\]\(methods/([\w-]+)\.png\)", METHODS_PAGE.read_text()))
    assert shown == {path.stem for path in METHODS_FOLDER.glob("*.png")}
    assert shown == {*PICTURES, *(f"{name}-row" for name in PICTURES), "augmix-row"}
    for path in METHODS_FOLDER.glob("*.png"):
        assert path.stat().st_size < 60_000
