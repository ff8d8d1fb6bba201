"""The measurements: that CPU time is counted in full, that everybody is treated alike, and what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.bench import child, data, report, scaling
from pipelines.bench.cli import _races, main
from pipelines.bench.contestants import tensors
from pipelines.bench.mixes import MIXES, QUICK
from pipelines.bench.race import Outcome, cores, run
from pipelines.bench.rows import Conditions, Contestant, Race, mix_race, peer_race
from pipelines.bench.scaling_report import picture, study
from pipelines.bench.summary import results
from tests.helpers.training import write_cifar

SETTINGS = {"batch_size": 4, "size": 8, "num_classes": 3, "threads": 1, "device": "cpu"}

# A contestant that works for `work` CPU seconds a batch, half of them in a process of its own where `worker` is set.
WORKER = """
import multiprocessing, sys, time
import torch

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def serve(asked, done):
    for seconds in iter(asked.get, None):
        burn(seconds)
        done.put(None)

def batches(settings):
    print("a library that talks", flush=True)
    work, worker = settings["work"], settings.get("worker")
    if worker:
        context = multiprocessing.get_context("fork")
        asked, done = context.SimpleQueue(), context.SimpleQueue()
        context.Process(target=serve, args=(asked, done), daemon=True).start()
    while True:
        burn(work / 2 if worker else work)
        if worker:
            asked.put(work / 2)
            done.get()
        yield torch.full((4, 3, 8, 8), settings.get("level", 1.0)), torch.full((4, 3), 1 / 3)
"""
MISSING = "import a_loader_that_is_not_installed"
IN_THREAD = """
import threading, time
def fail():
    raise ValueError("the thread that reads\\nis gone")
def batches(settings):
    threading.Thread(target=fail, daemon=True).start()
    time.sleep(60)
"""
KILLED = "import os\nos.kill(os.getpid(), 9)"


def burn(seconds: float) -> float:
    start = time.thread_time()
    while time.thread_time() < start + seconds:
        pass
    return time.thread_time() - start


def test_cpu_time_is_that_of_a_whole_family(tmp_path: Path) -> None:
    script = tmp_path / "family.py"
    script.write_text(
        "import subprocess, sys, time\n"
        "if len(sys.argv) == 1:\n    subprocess.Popen([sys.executable, __file__, 'child'])\n"
        "end = time.process_time() + 0.3\nwhile time.process_time() < end:\n    pass\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, script], start_new_session=True)
    try:
        ended = child.cpu_seconds([])
        deadline = time.monotonic() + 30
        while child.cpu_seconds(child.family(parent.pid)) - ended < 0.6 and time.monotonic() < deadline:
            time.sleep(0.02)
        family = child.family(parent.pid)
        assert len(family) == 2
        each = [child.cpu_seconds([process]) - ended for process in family]
        assert min(each) > 0.2
        assert child.cpu_seconds(family) - ended == pytest.approx(sum(each), abs=0.05)
    finally:
        os.killpg(parent.pid, 9)
        parent.wait()


def test_what_was_made_ahead_is_paid_for_in_the_round_that_takes_it() -> None:
    made: list[float] = []
    queue: Queue[Any] = Queue(3)

    def read_ahead() -> None:
        while len(made) < 40:
            made.append(burn(0.01))
            queue.put((torch.zeros(5), None))

    reader = threading.Thread(target=read_ahead, daemon=True)
    reader.start()
    batches: Iterator[Any] = iter(queue.get, None)
    child.rest([os.getpid()])
    assert len(made) == 4  # three wait in the queue, and one for a place in it
    first, second = (child.measure(batches, 8, 4, lambda: None) for _ in range(2))
    assert len(made) == 28
    for measured in (first, second):
        assert (measured["images"], measured["timed_images"], measured["batches"]) == (60, 40, 12)
        assert measured["cpu_seconds"] == pytest.approx(0.12, rel=0.3)
        assert measured["seconds"] > 0.06
    while len(made) < 40:
        queue.get()
    reader.join(10)


def test_peak_memory_holds_what_was_freed_within_the_round(tmp_path: Path) -> None:
    # In a process of its own: this one may give back what earlier tests held at any moment.
    script = tmp_path / "peak.py"
    script.write_text(
        "import child, os\n"
        "family = [os.getpid()]\n"
        "child.forget_peaks(family)\n"
        "before = child.peak_memory(family)\n"
        "len(b'1' * (100 * 2**20))  # freed at once\n"
        "held = child.peak_memory(family)\n"
        "child.forget_peaks(family)\n"
        "print(held - before, child.peak_memory(family) - before)\n"
    )
    here = {**os.environ, "PYTHONPATH": str(Path(child.__file__).parent)}
    said = subprocess.run([sys.executable, script], env=here, capture_output=True, text=True, check=True).stdout
    at_most, afterwards = map(float, said.split())
    assert 95 < at_most < 110
    assert abs(afterwards) < 10


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, Outcome]]:
    folder = tmp_path_factory.mktemp("contestants")
    for name, text in {"worker": WORKER, "missing": MISSING, "in_thread": IN_THREAD, "killed": KILLED}.items():
        (folder / f"{name}.py").write_text(text)

    def contestant(name: str, file: str, **settings: Any) -> Contestant:
        return Contestant(name, str(folder / file), settings)

    contestants = (
        contestant("one", "worker", work=0.01),
        contestant("three", "worker", work=0.03, worker=True),
        contestant("too bright", "worker", work=0.0, level=255.0),
        contestant("missing", "missing"),
        contestant("in thread", "in_thread"),
        contestant("killed", "killed"),
    )
    said: list[str] = []
    race = Race("a race", "one", contestants, SETTINGS, images=16)
    found = run(race, rounds=3, peers=sys.executable, say=said.append)
    return said, {outcome.contestant.name: outcome for outcome in found}


def test_a_ratio_is_that_of_the_work_done_in_all_processes(outcomes: tuple[list[str], dict[str, Outcome]]) -> None:
    rows = {row.name: row for row in results(list(outcomes[1].values()), "one")}
    numbers = rows["three"].numbers
    assert numbers is not None
    assert numbers.cpu is not None
    assert numbers.cpu.median == pytest.approx(3, rel=0.15)
    assert rows["one"].numbers is not None
    assert rows["one"].numbers.per_cpu_second.median == pytest.approx(400, rel=0.15)


def test_everybody_runs_once_in_every_round(outcomes: tuple[list[str], dict[str, Outcome]]) -> None:
    said = outcomes[0]
    for turn in range(4):  # the first one is to warm up
        names = [text.rpartition(", ")[2] for text in said if f"round {turn} of 3" in text]
        assert sorted(names) == ["one", "three"]
    assert all(len(outcomes[1][name].rounds) == 3 for name in ("one", "three"))


def test_who_starts_anew_is_measured_again_and_who_fails_once_is_out(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "missing.py").write_text(MISSING)
    said: list[str] = []
    contestants = (
        Contestant("one", str(tmp_path / "worker"), {"work": 0.001}),
        Contestant("missing", str(tmp_path / "missing"), {}),
    )
    race = Race("a race", "one", contestants, SETTINGS, images=16)
    one, missing = run(race, rounds=2, starts=3, peers=sys.executable, say=said.append)
    assert len(one.rounds) == 6
    assert [text for text in said if text.endswith("one starts")] == [
        f"a race, start {start} of 3: one starts" for start in (1, 2, 3)
    ]
    assert missing.missing
    assert len([text for text in said if text.endswith("missing starts")]) == 1


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("too bright", "ValueError: images must fill [0, 1], are from 255.0 to 255.0"),
        ("missing", "a_loader_that_is_not_installed is not installed"),
        ("in thread", "ValueError: the thread that reads is gone"),
        ("killed", "ended by SIGKILL"),
    ],
)
def test_one_that_fails_says_why_in_one_line(
    outcomes: tuple[list[str], dict[str, Outcome]], name: str, problem: str
) -> None:
    outcome = outcomes[1][name]
    assert outcome.problem == problem
    assert outcome.missing == (name == "missing")
    assert results([outcome], "one")[0].numbers is None


def outcome(name: str, cpu: list[float], seconds: list[float]) -> Outcome:
    rounds = [
        {"batches": 2, "images": 20, "timed_images": 10, "cpu_seconds": c, "seconds": s, "memory": 100.0 + 5 * i}
        for i, (c, s) in enumerate(zip(cpu, seconds, strict=True))
    ]
    start = {"first_batch_seconds": 0.5, "import_seconds": 1.0, "gpu_memory": None, "versions": {"torch": "1"}}
    return Outcome(Contestant(name, "ours"), start=start, rounds=rounds)


def test_a_machine_that_slows_down_between_rounds_changes_no_ratio() -> None:
    usual = outcome("usual", [1.0, 7.0, 2.0], [1.0, 7.0, 3.0])
    dear = outcome("dear", [1.5, 10.5, 3.0], [2.0, 14.0, 6.0])
    numbers = results([usual, dear], "usual")[1].numbers
    assert numbers is not None
    assert numbers.cpu is not None
    assert numbers.wall is not None
    assert (numbers.cpu.low, numbers.cpu.high) == pytest.approx((1.5, 1.5))
    assert numbers.wall.median == 2.0
    assert numbers.per_cpu_second.median == pytest.approx(20 / 3.0)
    assert numbers.memory == 110.0
    assert results([dear], "usual")[0].numbers.cpu is None  # type: ignore[union-attr]


def test_cores_are_different_ones_that_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    found = cores(len(allowed) + 5)
    assert sorted(found) == sorted(allowed)
    assert cores(1) == found[:1]


def crops(pixels: np.ndarray, y: int, x: int, flip: bool) -> np.ndarray:
    around = np.pad(pixels, ((4, 4), (4, 4), (0, 0)))[y : y + pixels.shape[0], x : x + pixels.shape[1]]
    return (around[:, ::-1] if flip else around).transpose(2, 0, 1)


def test_the_ways_to_crop_with_torch_give_the_same_crops() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 12, 10, 3), dtype=np.uint8)
    rows, y, x = (torch.tensor(rng.integers(0, high, 40)) for high in (6, 9, 9))
    flip = torch.tensor(rng.random(40) < 0.5)
    wanted = np.stack([crops(pixels[r], i, j, f) for r, i, j, f in zip(rows, y, x, flip, strict=True)])
    x_gather = torch.where(flip, 8 - x, x)  # which counts in the mirrored image
    of_bytes = tensors.windows(tensors.padded(pixels, as_float=False, mirrored=True))
    np.testing.assert_array_equal(tensors.crops_by_gather(of_bytes, rows, y, x_gather, flip), wanted)
    of_floats = tensors.windows(tensors.padded(pixels, as_float=True, mirrored=True))
    np.testing.assert_array_equal(tensors.crops_by_gather(of_floats, rows, y, x_gather, flip), np.float32(wanted) / 255)
    once = tensors.padded(pixels, as_float=True, mirrored=False)
    np.testing.assert_array_equal(tensors.crops_by_masks(once, rows, y, x, flip), np.float32(wanted) / 255)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 images of 3 classes; what is made of them goes to a cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for row in range(24):
        folder = tmp_path / "images" / "train" / "abc"[row % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (5, 4 + row % 2, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 60 + row)).save(folder / f"{row:02}.png")
    return tmp_path / "images"


def test_jpegs_of_quality_90_have_the_classes_and_sizes_of_the_images(images: Path) -> None:
    found = data.find_data(images)
    made = data.quality90(found)
    assert made == data.quality90(found)
    pairs = zip(sorted(found.folder.rglob("*.png")), sorted(made.rglob("*.jpg")), strict=True)
    for original, jpeg in pairs:
        assert original.parent.name == jpeg.parent.name
        with Image.open(original) as a, Image.open(jpeg) as b:
            assert (b.format, b.size) == ("JPEG", a.size)
            assert np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() < 12


def test_what_is_made_of_images_is_made_anew_when_they_change(images: Path) -> None:
    before = data.find_data(images).cache
    assert data.find_data(images).cache == before
    os.utime(images / "train" / "a" / "00.png", (1, 1))
    assert data.find_data(images).cache != before


def test_a_large_folder_is_measured_by_a_sample(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SAMPLE", 6)
    found = data.find_data(images)
    assert (found.num_images, found.num_classes) == (6, 3)
    files = sorted(path.resolve() for path in found.folder.rglob("*.png"))
    assert len(set(files)) == 6
    assert {path.parent.name for path in files} == {"a", "b", "c"}


def test_quick_tables_hold_a_part_of_the_rows_and_every_mix_has_one(images: Path) -> None:
    found = data.find_data(images)
    assert set(QUICK) < set(MIXES)
    for make in (mix_race, peer_race):
        full, quick = (make(found, Conditions(quick=quick)) for quick in (False, True))
        names = [contestant.name for contestant in full.contestants]
        assert len(set(names)) == len(names)
        assert {contestant.name for contestant in quick.contestants} < set(names)
        assert full.reference in names
        assert quick.images < full.images
    assert set(MIXES) < {contestant.name for contestant in mix_race(found, Conditions()).contestants}


def test_the_command_measures_prints_and_writes(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--root", str(images), "--quick", "--rounds", "2", "--batch_size", "8", "--threads", "1"]
    arguments += ["--tables", "peers", "--rows", "tensor", "--peers_python", sys.executable]
    code = main([*arguments, "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert code == 0, out
    (folder,) = (tmp_path / "out").iterdir()
    with Image.open(folder / "bench.png") as chart:
        assert chart.width > 500
    content = json.loads((folder / "bench.json").read_text())
    head = content["header"]
    assert head["command"].startswith("python -m pipelines.bench --root")
    assert {"commit", "versions", "machine", "threads", "rounds", "load", "time"} <= set(head)
    assert {"torch", "torchvision", "nvidia.dali", "mixdali"} <= set(head["versions"])
    (table,) = content["tables"]
    names = ["mixdali, MixUp", "torchvision v2, tensor, MixUp"]
    assert [row["name"] for row in table["rows"]] == names
    for row in table["rows"]:
        assert row["name"] in out
        assert len(row["rounds"]) == 2
        assert row["numbers"]["per_cpu_second"]["median"] > 0
        assert row["numbers"]["memory"] > 100
    assert table["rows"][0]["numbers"]["cpu"] == {"median": 1.0, "low": 1.0, "high": 1.0}


def test_rows_are_chosen_by_their_names_or_parts_of_them(images: Path) -> None:
    found = data.find_data(images)

    def chosen(*words: str) -> list[list[str]]:
        races = _races(["mixes", "peers"], found, Conditions(), words)
        return [[contestant.name for contestant in race.contestants] for race in races]

    assert chosen("CutMix") == [["no mix", "CutMix"]]
    assert chosen("FMix") == [["no mix", "FMix"]]
    assert chosen("FMix", "Resize") == [["no mix", "ResizeMix", "FMix"]]
    assert chosen("MinMax", "FastCollate") == [["no mix", "CutMixMinMax"], ["mixdali, MixUp", "timm, FastCollateMixup"]]


def test_arrays_are_measured_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_cifar(tmp_path / "arrays", 400, 20)
    arguments = ["--root", str(root), "--quick", "--rounds", "1", "--out", str(tmp_path / "out"), "--tables", "peers"]
    assert main([*arguments, "--rows", "gather"]) == 0, capsys.readouterr().out
    content = json.loads(next((tmp_path / "out").rglob("bench.json")).read_text())
    assert [row["problem"] for row in content["tables"][0]["rows"]] == ["", ""]


def test_other_forms_of_images_are_measured_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_cifar(tmp_path / "arrays", 400, 20)
    arguments = ["--root", str(root), "--rounds", "1", "--starts", "1", "--out", str(tmp_path / "out")]
    names = ["MixUp, mean and std", "MixUp, mean and std, float16 HWC"]
    assert main([*arguments, "--tables", "mixes", "--rows", *names]) == 0, capsys.readouterr().out
    content = json.loads(next((tmp_path / "out").rglob("bench.json")).read_text())
    rows = {row["name"]: row["problem"] for row in content["tables"][0]["rows"]}
    assert rows == dict.fromkeys(["no mix", *names], "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--root", "/no/such/folder"], "/no/such/folder"),
        (["--tables", "memory"], "only there with --scaling"),
        (["--scaling", "--tables", "mixes"], "not one of those of --scaling"),
        (["--scaling", "--starts", "2"], "starts them once"),
        (["--rows", "MixDown"], "no row beside the reference has such a name; there are 'no mix', 'MixUp', "),
        (["--peers_python", "/no/python"], "make bench-peers"),
        pytest.param(
            ["--device", "gpu"], "gpu", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
        ),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_results_never_go_to_a_folder_that_is_there(tmp_path: Path) -> None:
    folders = {report.new_folder(tmp_path / "out") for _ in range(3)}
    assert len(folders) == 3


def test_the_scaling_study_asks_for_every_value_and_draws_what_it_got(images: Path, tmp_path: Path) -> None:
    from rich.console import Console

    asked: list[dict[str, Any]] = []

    def measured(race: Race, rounds: int) -> list[Outcome]:
        asked.extend({**race.settings, **contestant.settings} for contestant in race.contestants)
        return [outcome(contestant.name, [1.0] * rounds, [1.0] * rounds) for contestant in race.contestants]

    console = Console(file=(tmp_path / "tables").open("w"), width=130)
    names = [name for name in scaling.PARTS if name != "files"]
    found = study(names, [data.find_data(images)], Conditions(), 2, measured, console)
    console.file.close()
    for name, values in scaling.SWEEPS.items():
        wanted = {v for v in values if v <= max(4, len(os.sched_getaffinity(0))) or name != "threads"}
        assert {settings[name] for settings in asked} >= wanted - ({2} if name == "num_classes" else set())
        assert name in (tmp_path / "tables").read_text()
    json.dumps(found.plain(), allow_nan=False)
    report.write_picture(tmp_path / "scaling.png", picture(found))
    with Image.open(tmp_path / "scaling.png") as chart:
        assert chart.width > 1000


def test_no_values_of_num_classes_below_that_of_the_images(images: Path) -> None:
    found = data.find_data(images)
    more = data.Data(found.title, "files", found.folder, found.cache, 24, 500, 224)
    points = scaling.sweep("num_classes", more, Conditions(), lambda race, rounds: [], 1)
    assert [point.value for point in points] == [1000, 21_841]


def test_listing_files_is_timed_on_as_many_as_are_said() -> None:
    (few, quick), (many, slow) = scaling.index_seconds(quick=True)
    assert (few, many) == (1_000, 10_000)
    assert 0 < quick < slow


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_everything_that_is_installed_runs_on_a_gpu(images: Path, tmp_path: Path) -> None:
    arguments = ["--root", str(images), "--rounds", "1", "--device", "gpu", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--tables", "peers", "--batch_size", "8"]) == 0
    content = json.loads(next((tmp_path / "out").rglob("bench.json")).read_text())
    assert all(row["missing"] or row["numbers"]["gpu_memory"] is not None for row in content["tables"][0]["rows"])
