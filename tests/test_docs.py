"""The python examples of the documentation run as they stand.

A page is run from top to bottom in one namespace, in an empty folder but for `photos/CLASS/*.jpg`, three classes. Two
names stand for what a reader fills in: `folder` is that folder, `num_classes` is 3.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import v2

import mixdali
from mixdali import CutMix, MixUp, Plan

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


PAGES = {str(page.relative_to(ROOT)): page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}


@pytest.fixture
def beside_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for name in ("bird", "cat", "dog"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for n in range(8):
            Image.fromarray(rng.integers(256, size=(72, 80, 3), dtype=np.uint8)).save(folder / f"{n}.jpg")
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
    """A pair from the table of docs/loaders.md."""
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


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_links_within_the_documentation_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        assert not target or (page.parent / target).exists(), link
        assert target or anchor in anchors, link
