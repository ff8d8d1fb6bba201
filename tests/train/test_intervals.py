"""The intervals beside accuracies."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from train.evaluate.report import write_report
from train.show.as_json import as_json
from train.show.intervals import intervals, whiskers, wilson, with_interval


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (1, 10), (5, 10), (10, 10), (718, 1000), (9999, 10000), (1, 1)])
def test_the_interval_is_wilsons(hits: int, total: int) -> None:
    expected = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    assert wilson(hits / total, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_it_holds_the_true_accuracy_in_95_of_100_cases() -> None:
    rng = np.random.default_rng(0)
    for truth, total in ((0.3, 200), (0.9, 50), (0.5, 1000)):
        drawn = rng.binomial(total, truth, 4000) / total
        inside = [low <= truth <= high for low, high in (wilson(share, total) for share in drawn.tolist())]
        assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_none_and_all_still_have_one() -> None:
    assert wilson(0.0, 100)[0] == 0
    assert 0.03 < wilson(0.0, 100)[1] < 0.04
    assert wilson(1.0, 100)[1] == 1


@pytest.mark.parametrize("share", [math.nan, -0.1, 1.1, math.inf])
def test_what_is_no_share_has_none(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\], got"):
        wilson(share, 10)


def test_it_is_written_beside_the_share_and_in_its_place() -> None:
    assert with_interval(0.718, 1000) == "71.80% [68.93, 74.50]"
    found = intervals({"a": {"0.1": 0.5}, "after": [0.5, 1.0]}, 10)
    assert found == {"a": {"0.1": list(wilson(0.5, 10))}, "after": [list(wilson(0.5, 10)), list(wilson(1.0, 10))]}
    below, above = whiskers([0.5, 1.0], 10)
    assert below[0] == pytest.approx(above[0])
    assert above[1] == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_that_is_not_finite_reaches_a_report(value: float, tmp_path: Path) -> None:
    content = {"parts": {"clean": {"raw": {"accuracy": 0.5, "after": [1, 0.5, value]}}}}
    with pytest.raises(ValueError, match=r"^parts\.clean\.raw\.after\.2 is -?(nan|inf), and a report holds finite"):
        as_json(content)
    parts = {
        "fgsm": {"settings": {}, "result": {"raw": {"1/255": 0.5}}},
        "noise": {"settings": {"x": value}, "result": {}},
    }
    with pytest.raises(ValueError, match=r"settings\.noise\.x is -?(nan|inf)"):
        write_report(tmp_path, "a title", {"images": {"number": 3}}, parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["evaluate/report.py", "certify/report.py", "predict/run.py"])
def test_every_report_is_written_by_the_function_that_looks(command: str) -> None:
    text = (DOCS.parent / "train" / command).read_text()
    assert "as_json(" in text
    assert "json.dumps" not in text


DOCS = Path(__file__).parents[2] / "docs"
SHARE = re.compile(r"^(\d+\.\d+)(?: %)?(?: ± [\d.]+)? \[(\d+\.\d+), (\d+\.\d+)\]$")
TABLES: dict[tuple[str, str], dict[int, int]] = {
    ("selective.md", "| coverage wanted"): {1: 900},
}
"""By page and header, of how many images the accuracies in a column are."""
WORDS = re.compile(r"\baccuracy\b|\bclean\b|\bPGD-\d+|\bepoch\b|\bcoverage\b|\bright at\b|\bFGSM\b")


def tables(page: Path) -> list[list[str]]:
    blocks = re.findall(r"(?:^\|.*\n)+", page.read_text() + "\n", flags=re.MULTILINE)
    return [block.splitlines() for block in blocks]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(("page", "start"), TABLES)
def test_the_intervals_of_the_documentation_are_those_of_its_numbers(page: str, start: str) -> None:
    found = [table for table in tables(DOCS / page) if table[0].startswith(start)]
    assert found
    for line in (line for table in found for line in table[2:]):
        for column, total in TABLES[page, start].items():
            match = SHARE.match(cells(line)[column])
            assert match, line
            digits = len(match[1].partition(".")[2]) if "±" not in line else 1
            low, high = wilson(round(float(match[1]) / 100 * total) / total, total)
            assert (match[2], match[3]) == (f"{100 * low:.{digits}f}", f"{100 * high:.{digits}f}"), line


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_no_table_shows_an_accuracy_without_its_interval(page: Path) -> None:
    for table in tables(page):
        numbers = [line for line in table[2:] if re.search(r"\| \d+\.\d+( %)? \|", f"{line} |")]
        if numbers and WORDS.search(table[0]) and "predictor" not in table[0]:
            assert all("[" in line for line in table[2:]), table[0]
