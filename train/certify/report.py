"""Certificates as lines, numbers, a table and a picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from pipelines.show.pictures import INK, write_figure
from train.certify.settings import Arguments
from train.certify.smoothing import ABSTAIN, certificate, certified_accuracy, largest_radius, prediction
from train.data.sources import Sources
from train.evaluate.parts.calibration import expected_error, reliability_bins
from train.evaluate.pictures.measures import draw_calibration
from train.files.sealed import written
from train.show.as_json import as_json
from train.show.intervals import intervals, wilson, with_interval

if TYPE_CHECKING:
    from pipelines.sources.source import Source

BLUE, GREY = "#2f6db5", "#9a9a9a"
STEP = 0.25
"""Between the radii of the table."""
DPI = 130


@dataclass(frozen=True)
class Row:
    """The certificate of one image, as a line of certificates.tsv."""

    index: int
    """Of the image, in its data set."""
    label: int
    predicted: int
    """The certified class; -1 where nothing is certified."""
    radius: float
    """In L2, in units of images in [0, 1]; 0 where nothing is certified."""
    correct: int
    """1 if `predicted` is the label, else 0."""


@dataclass
class Certified:
    """The votes on each image so far."""

    index: np.ndarray
    """(M,)"""
    labels: np.ndarray
    """(M,)"""
    votes: np.ndarray
    """(M, 2, K) int64: those that choose the class, and those that say how likely it is."""
    done: np.ndarray
    """(M,) bool"""
    asked: Arguments
    known: dict[int, tuple[Row, int]] = field(default_factory=dict)
    """By its place, what follows from the votes on an image: its certificate, and the class without a radius."""

    @classmethod
    def empty(cls, chosen: Source, sources: Sources, asked: Arguments) -> Certified:
        count = len(chosen)
        votes = np.zeros((count, 2, sources.num_classes), dtype=np.int64)
        return cls(chosen.index, chosen.labels, votes, np.zeros(count, dtype=bool), asked)

    def put(self, place: int, select: np.ndarray, estimate: np.ndarray) -> None:
        """The votes on the image at this place."""
        self.votes[place], self.done[place] = (select, estimate), True

    def to_checkpoint(self) -> dict[str, Any]:
        return {"votes": torch.from_numpy(self.votes), "done": torch.from_numpy(self.done)}

    def load(self, content: dict[str, Any]) -> None:
        """The inverse of `to_checkpoint`."""
        self.votes[:], self.done[:] = content["votes"].numpy(), content["done"].numpy()

    def rows(self) -> list[Row]:
        """The certificates of the images that are done, in order."""
        return [self._know(place)[0] for place in np.flatnonzero(self.done).tolist()]

    def predictions(self) -> list[int]:
        """Their classes, or ABSTAIN, where no radius is asked for."""
        return [self._know(place)[1] for place in np.flatnonzero(self.done).tolist()]

    def _know(self, place: int) -> tuple[Row, int]:
        if place not in self.known:
            alpha, sigma = self.asked.alpha, self.asked.sigma
            assert sigma is not None
            select, estimate = self.votes[place]
            predicted, radius = certificate(select, estimate, alpha, sigma)
            index, label = int(self.index[place]), int(self.labels[place])
            row = Row(index, label, predicted, radius, int(predicted == label))
            self.known[place] = row, prediction(estimate, alpha)
        return self.known[place]


def acr(rows: list[Row]) -> float:
    """The average certified radius: wrong and abstained images count as 0."""
    return float(np.mean([row.radius * row.correct for row in rows])) if rows else 0.0


def summarise(found: Certified) -> dict[str, Any]:
    """The numbers of certificates.json; shares are of all images that are done."""
    rows, asked = found.rows(), found.asked
    assert asked.sigma is not None
    largest = largest_radius(asked.n, asked.alpha, asked.sigma)
    at = np.arange(0, largest + STEP, STEP)
    at = at[at <= largest]
    radii, right = np.array([row.radius for row in rows]), np.array([row.correct for row in rows])
    shares = certified_accuracy(radii, right, at) if rows else np.zeros(len(at))
    by_radius = {f"{radius:.2f}": float(share) for radius, share in zip(at, shares, strict=True)}
    predicted = np.array(found.predictions(), dtype=np.int64)
    hits = float((predicted == found.labels[found.done]).mean()) if rows else 0.0
    return {
        **{name: getattr(asked, name) for name in ("sigma", "n0", "n", "alpha", "seed", "average", "precision")},
        "images": len(rows),
        "of": len(found.done),
        "average_certified_radius": acr(rows),
        "certified_accuracy": by_radius,
        # Wilson's, 95 %: for other images of the kind. `alpha` is the chance of a wrong certificate beside it.
        "certified_accuracy_intervals": intervals(by_radius, len(rows)) if rows else {},
        "largest_radius": largest,
        "abstained": sum(row.predicted == ABSTAIN for row in rows),
        "calibration": confidence_of_votes(found.votes[found.done], found.labels[found.done]) if rows else None,
        "prediction": {
            "accuracy": hits,
            "interval": intervals(hits, len(rows)) if rows else None,
            "abstained": int((predicted == ABSTAIN).sum()),
        },
    }


def confidence_of_votes(votes: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Whether the smoothed network is as sure as it is right. Its class is the one that the first votes choose; how
    sure it is of it, the share that this class has of the other votes.

    Args:
        votes: (M, 2, K), as of `Certified`, of at least one image.
        labels: (M,)

    Returns:
        accuracy and confidence, means; "ece" and "bins", as `train.evaluate.parts.calibration.calibration` has them.
    """
    chosen = votes[:, 0].argmax(axis=1)
    estimate = votes[:, 1]
    shares = estimate[np.arange(len(votes)), chosen] / estimate.sum(axis=1)
    hits = (chosen == labels).astype(np.float64)
    bins = reliability_bins(shares, hits)
    means = {"accuracy": float(hits.mean()), "confidence": float(shares.mean())}
    return {**means, "ece": expected_error(bins), "bins": bins}


def write_report(folder: Path, found: Certified, checkpoint: str) -> None:
    """certificates.tsv, a line for each image; certificates.json; certificates.png; calibration.png."""
    rows = found.rows()
    lines = ["\t".join(column.name for column in fields(Row))]
    lines += ["\t".join(map(str, asdict(row).values())) for row in rows]
    _write(folder / "certificates.tsv", "\n".join(lines) + "\n")
    summary = {"checkpoint": checkpoint, **summarise(found)}
    _write(folder / "certificates.json", as_json(summary))
    if rows:
        draw_curve(folder / "certificates.png", rows, summary, folder.name)
        title = f"{folder.name}: votes under noise of {summary['sigma']:g}"
        draw_calibration(folder / "calibration.png", {"smoothed network": summary["calibration"]}, title)


def _write(path: Path, text: str) -> None:
    with written(path) as aside:
        aside.write_text(text)


def result_table(found: Certified) -> Table:
    """Certified accuracy at some radii with 95 % intervals, for the terminal."""
    summary = summarise(found)
    total = summary["images"]
    title = f"{total:,} test images under noise of {summary['sigma']:g}; in brackets 95 % intervals"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("certified within an L2 radius of")
    table.add_column("", justify="right")
    for radius, share in summary["certified_accuracy"].items():
        table.add_row(radius, with_interval(share, total, 1))
    table.add_section()
    table.add_row("average certified radius", f"{summary['average_certified_radius']:.3f}")
    table.add_row("abstained", f"{summary['abstained'] / max(1, total):.1%}")
    if summary["calibration"] is not None:
        table.add_row("expected calibration error of the votes", f"{summary['calibration']['ece']:.1%}")
    table.add_row("right, no radius asked for", with_interval(summary["prediction"]["accuracy"], total, 1))
    return table


def draw_curve(path: Path, rows: list[Row], summary: dict[str, Any], title: str) -> None:
    """Certified accuracy over the radius with its 95 % interval, up to the largest that so many votes can certify."""
    largest = summary["largest_radius"]
    at = np.linspace(0, 1.02 * largest or 1.0, 600)
    right = np.array([row.correct for row in rows])
    shares = certified_accuracy(np.array([row.radius for row in rows]), right, at)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    low, high = 100 * np.array([wilson(float(share), len(rows)) for share in shares]).T
    axes.fill_between(at, low, high, step="post", color=BLUE, alpha=0.18, linewidth=0)
    axes.step(at, 100 * shares, where="post", color=BLUE, linewidth=1.8)
    axes.axvline(largest, color=GREY, linewidth=1, linestyle="--")
    axes.annotate(
        f"largest that {summary['n']:,} votes certify ",
        (largest, 97),
        ha="right",
        va="top",
        fontsize=8,
        color=GREY,
    )
    axes.set_xlim(0, at[-1])
    axes.set_ylim(0, 100)
    axes.set_xlabel("L2 radius, in units of images in [0, 1]", fontsize=9, color=INK)
    axes.set_ylabel("certified accuracy, %", fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    images = f"{summary['images']:,}" + ("" if summary["images"] == summary["of"] else f" of {summary['of']:,}")
    facts = f"{images} images, noise {summary['sigma']:g}, average radius {summary['average_certified_radius']:.3f}"
    axes.set_title(f"{title}: {facts}", fontsize=10, color=INK, loc="left", parse_math=False)
    write_figure(figure, path, DPI)
