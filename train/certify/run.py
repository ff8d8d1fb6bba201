"""The command: a checkpoint in, certified radii of test images out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from torch import Tensor, nn

from train.certify.report import Certified, acr, result_table, write_report
from train.certify.settings import Arguments
from train.certify.votes import Voters
from train.data.images import identify_images, spread
from train.data.loaders import val_loader
from train.data.sources import Sources, read_sources
from train.files import checkpoint
from train.files.folders import Claim, claim_folder
from train.files.recipe_file import RecipeFile, file_of
from train.loop.held_out import to_device
from train.machine.circumstances import circumstances
from train.machine.command import new_console, parse, say
from train.machine.distributed import World, open_world
from train.machine.precision import resolve_precision, tf32
from train.machine.run import Run
from train.machine.stop import Stop, Stopped, stop_on_signals
from train.objectives.gaussian import Smoothed
from train.recipe import Recipe, from_plain

if TYPE_CHECKING:
    from pipelines.sources.source import Source

SUMMARY = "Certify how far test images may move in L2 before a smoothed classifier changes its mind."
SECONDS_BETWEEN_SAVES = 10.0


def main(words: Sequence[str]) -> int:
    """Certify what the command line says; -> the exit code. Raises ValueError and others of one line for the user."""
    asked = parse(Arguments, words, program="train.certify", summary=SUMMARY)
    return certify(asked, new_console())


def certify(asked: Arguments, console: Console) -> int:
    """Certify, or go on where it was stopped. Leaves certificates.tsv, certificates.json, certificates.png, last.pt.

    Returns:
        0 if it is finished, 128 plus the signal's number if one stopped it.

    Raises:
        ValueError, FileNotFoundError: one line for the user.
    """
    path = checkpoint.find(asked.checkpoint)
    with stop_on_signals() as stop, open_world(asked.device) as world, tf32(False):
        if world.size > 1:
            raise ValueError("one process certifies; start it without torchrun")
        asked = replace(asked, precision=resolve_precision(asked.precision, world.device))
        recipe, sources, file = read_run(path, asked.root, asked.recipe_file, partial(say, console))
        asked = replace(asked, sigma=choose_sigma(asked.sigma, recipe))
        model = checkpoint.load_model(path, average=asked.average, file=file).to(world.device)
        chosen = sources.held_out.select(choose_images(len(sources.held_out), asked.skip, asked.num_images))
        identity = identify(asked, model, chosen, world)
        name = asked.name or f"certify-{path.resolve().parent.name}"
        claim = Claim(identity=identity, exact=asked.exact)
        with claim_folder(Path(asked.folder), name, claim, asked=asked.name is not None) as folder:
            found = Certified.empty(chosen, sources, asked)
            if folder.start is not None:
                found.load(checkpoint.load(folder.start))
            verb = "goes on in" if folder.resumes else "writes to"
            counts = f"{len(chosen):,} of {len(sources.held_out):,} test images, noise of {asked.sigma:g}"
            votes = f"{asked.n:,} votes each, {asked.precision} on {world.kind}"
            say(console, f"{counts}, {votes}; {verb} {folder.path}")
            for note in folder.notes:
                say(console, note)
            facts = {"identity": identity, "processes": 1, **folder.facts}
            job = Job(asked, recipe, sources, chosen, model, world, found, folder.path, facts, str(path))
            finished = job.run(stop, console)
            if finished:
                console.print(result_table(found))
            end = "" if finished else f"Stopped after {int(found.done.sum()):,} images; the same command goes on. "
            say(console, f"{end}{folder.path}: certificates.tsv, certificates.json, certificates.png")
            return 0 if finished else stop.exit_code


@dataclass
class Job:
    """A certification in its folder."""

    asked: Arguments
    recipe: Recipe
    sources: Sources
    chosen: Source
    model: nn.Module
    world: World
    found: Certified
    path: Path
    facts: dict[str, Any]
    checkpoint: str

    def run(self, stop: Stop, console: Console) -> bool:
        """Certify what is left; -> whether all is done. Saves on the way."""
        asked, found = self.asked, self.found
        assert asked.sigma is not None
        voters = Voters(
            self.model, self.sources.num_classes, asked.sigma, asked.seed, asked.batch_size, asked.precision
        )
        self.save()
        saved = time.perf_counter()
        try:
            for place, image in self._images():
                index = int(self.chosen.index[place])
                # Both or none: an image is done or not.
                first = voters.count(image, index, "select", asked.n0, stop)
                second = voters.count(image, index, "estimate", asked.n, stop)
                found.put(place, first, second)
                if time.perf_counter() - saved > SECONDS_BETWEEN_SAVES:
                    self.save()
                    saved = time.perf_counter()
                    say(console, f"{int(found.done.sum()):,} images, ACR so far {acr(found.rows()):.3f}")
        except Stopped:
            self.save()
            return False
        self.save()
        assert found.done.all()
        return True

    def save(self) -> None:
        """Write the counts, and what follows from them so far."""
        content = {**self.facts, "finished": bool(self.found.done.all()), **self.found.to_checkpoint()}
        checkpoint.save(self.path / checkpoint.LAST, content, keep=checkpoint.KEPT)
        write_report(self.path, self.found, self.checkpoint)

    def _images(self) -> Iterator[tuple[int, Tensor]]:
        """What is not done yet: its place among the chosen, and its pixels (3, H, W) in [0, 1]."""
        left = np.flatnonzero(~self.found.done)
        if not len(left):
            return
        batches = val_loader(self.recipe, Run(), self.sources, self.world, self.chosen.select(left))
        places = iter(left.tolist())
        for batch in batches:
            for image in to_device(batch.images, self.world.device):
                yield next(places), image


def read_run(
    path: Path, root: str | None, named: Path | None, tell: Callable[[str], None]
) -> tuple[Recipe, Sources, RecipeFile | None]:
    """The recipe of a checkpoint, the data in `root`, and the recipe file, if it is made of one (see `file_of`).

    Raises:
        FileNotFoundError, ValueError: it is no checkpoint of a classifier, or one of other classes.
    """
    content = checkpoint.load_classifier(path)
    file = file_of(path, content, content["recipe"], named, tell)
    recipe = from_plain(content["recipe"], file)
    sources = read_sources(recipe.data, root)
    checkpoint.check_classes(path, content, sources.classes, root)
    outputs = content["network"]["num_classes"]
    if outputs != sources.num_classes:
        raise ValueError(
            f"{path} has {outputs} outputs for {sources.num_classes} classes, so its largest output is not its class"
        )
    return recipe, sources, file


def choose_sigma(asked: float | None, recipe: Recipe) -> float:
    """The noise asked for, or else that of the training. ValueError if there is neither."""
    if asked is not None:
        return asked
    if isinstance(recipe.objective, Smoothed):
        return recipe.objective.sigma
    raise ValueError(
        f"the network was trained by {type(recipe.objective).__name__}, without noise of a known level; pass --sigma"
    )


def choose_images(total: int, skip: int, num_images: int | None) -> np.ndarray:
    """Rising positions: every `skip`-th, and of these at most so many, evenly spread."""
    places = np.arange(0, total, skip)
    return places[spread(len(places), num_images)]


def identify(asked: Arguments, model: nn.Module, chosen: Source, world: World) -> dict[str, Any]:
    """All that must be equal for a certification to go on to the same result."""
    settings = ("sigma", "n0", "n", "alpha", "seed", "batch_size", "precision")
    return {
        "certify": {name: getattr(asked, name) for name in settings},
        "weights": checkpoint.digest(model),
        "images": identify_images(chosen),
        "processes": world.size,
        **circumstances(world),
    }
