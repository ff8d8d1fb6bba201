"""Straight and resumed runs of other people's loops, in one and in two processes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NUMBER, EPOCHS, MIXED_EPOCHS, STOP = 24, 4, 3, 2

pytestmark = pytest.mark.clients

# With which kind of loader: what `mixdali.mixed` makes of its own, and `mixdali.Loader`.
CLIENTS = [
    ("lightning", "mixed"),
    ("lightning", "loader"),
    ("accelerate", "mixed"),
    ("accelerate", "loader"),
    ("trainer", "mixed"),
    ("timm", "mixed"),
    ("example", "mixed"),
    ("example", "loader"),
]


def run(client: str, kind: str, ranks: int, folder: Path, first: int, last: int) -> list[dict[str, Any]]:
    """What each rank saw."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable]
    if ranks > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command += [*(["-m"]), f"tests.clients.{client}_loop", kind, str(folder), str(first), str(last)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=280)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    assert "not sharded" not in done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(ranks)]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("client", "kind"), CLIENTS)
def test_a_run_that_was_stopped_and_resumed_is_the_straight_one(
    client: str, kind: str, ranks: int, tmp_path: Path
) -> None:
    straight = run(client, kind, ranks, tmp_path / "straight", 0, EPOCHS)
    run(client, kind, ranks, tmp_path / "stopped", 0, STOP)
    resumed = run(client, kind, ranks, tmp_path / "stopped", STOP, EPOCHS)
    for rank, (whole, rest) in enumerate(zip(straight, resumed, strict=True)):
        assert sorted(whole["train"]) == [str(epoch) for epoch in range(EPOCHS)]
        assert sorted(rest["train"]) == [str(epoch) for epoch in range(STOP, EPOCHS)]
        for epoch in range(STOP, EPOCHS):
            assert rest["train"][str(epoch)] == whole["train"][str(epoch)], (rank, epoch)
    for epoch in range(EPOCHS):
        batches = [batch for seen in straight for batch in seen["train"][str(epoch)]]
        assert sorted(n for _, _, index in batches for n in index) == list(range(NUMBER))
        assert {mixed for _, mixed, _ in batches} == {epoch < MIXED_EPOCHS}
        assert len({digest for digest, _, _ in batches}) == len(batches)
        validated = [batch for seen in straight for batch in seen["val"][str(epoch)]]
        assert {n for _, _, index in validated for n in index} == set(range(NUMBER))
        assert not any(mixed for _, mixed, _ in validated)
    orders = [[index for _, _, index in straight[0]["train"][str(epoch)]] for epoch in range(EPOCHS)]
    assert all(orders[0] != order for order in orders[1:])
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("ranks", [1, 2])
def test_accelerate_goes_on_in_the_middle_of_an_epoch(ranks: int, tmp_path: Path) -> None:
    straight = run("accelerate", "mixed", ranks, tmp_path / "straight", 0, 2)
    resumed = run("accelerate", "skipping", ranks, tmp_path / "resumed", 1, 2)
    for whole, rest in zip(straight, resumed, strict=True):
        assert rest["train"]["1"] == whole["train"]["1"][1:]


def test_the_examples_of_the_documentation_run(tmp_path: Path) -> None:
    """The page's blocks for other frameworks, after the ones that its first lines give them."""
    import numpy as np
    from PIL import Image

    for name in ("bird", "cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for n in range(8):
            pixels = np.random.default_rng(n).integers(256, size=(72, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{n}.jpg")
    blocks = re.findall(r"^```(py|python)\n(.*?)^```", (ROOT / "docs/loaders.md").read_text(), re.MULTILINE | re.DOTALL)
    shared = [
        code for kind, code in blocks if kind == "python" and ("import mixdali" in code or "to_tensor = " in code)
    ]
    examples = [code for kind, code in blocks if kind == "py"]
    assert len(shared) == 2
    assert len(examples) == 6
    script = "\n".join(
        [shared[0], re.search(r"^to_tensor = .*$", shared[1], re.MULTILINE).group(), *examples]  # type: ignore[union-attr]
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=280
    )
    assert done.returncode == 0, done.stderr[-4000:]
