"""The tables of results and claims: complete, made of commands that are read, and nothing but what the studies say."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest

from docs import cost, results
from docs.claims import SYSTEMS, Comparison, claims_page, found, results_page
from train.certify import settings as certify
from train.cli.main import choose_recipe, split_words
from train.cli.overrides import parse_overrides
from train.compare import run as compare
from train.evaluate import settings as evaluate
from train.generator import run as generator
from train.machine.command import parse
from train.predict import frechet
from train.predict import run as predict
from train.selective import run as selective
from train.study import run as study
from train.tables import boundaries
from train.tables import run as tables

CLAIMS = [claim for system in SYSTEMS for claim in system.claims]
KINDS = {
    "train.certify": certify.Arguments,
    "train.compare": compare.Arguments,
    "train.evaluate": evaluate.Arguments,
    "train.generator": generator.Command,
    "train.predict": predict.Arguments,
    "train.predict.frechet": frechet.Arguments,
    "train.selective": selective.Arguments,
    "train.study": study.Arguments,
    "train.tables": tables.Arguments,
    "train.tables.boundaries": boundaries.Arguments,
}
STUDIES = found.read_studies(results.STUDIES)


def commands() -> list[str]:
    """One for all that differ in their data alone."""
    of_claims = [command for claim in CLAIMS for command in claim.shown_by]
    texts = [*of_claims, *(results_page.command_of(system) for system in SYSTEMS)]
    return list(dict.fromkeys(re.sub(r" --root \w+", "", text) for text in texts))


@pytest.mark.parametrize("command", commands())
def test_every_command_of_a_claim_is_read(command: str) -> None:
    module, *words = shlex.split(command)
    if module in ("train", "train.bench"):
        names, fields = split_words(words)
        chosen = choose_recipe(*names)
        if fields:
            parse_overrides(" ".join(names), chosen.summary, chosen.stored, fields, None)
    else:
        asked = parse(KINDS[module], words, program=module, summary="")
        if isinstance(asked, study.Arguments):
            assert asked.name is not None
            study.find(asked.name).scale(asked.scale)


def test_the_pages_are_what_the_studies_say() -> None:
    assert results_page.results_page(STUDIES) == results.RESULTS.read_text(), "python -m docs.results"
    assert claims_page.claims_page(STUDIES) == results.CLAIMS.read_text(), "python -m docs.results"
    assert results.readme(results.README.read_text(), STUDIES) == results.README.read_text(), "python -m docs.results"
    assert results.menu(results.MENU.read_text(), STUDIES) == results.MENU.read_text(), "python -m docs.results"
    assert "<!-- claims -->" in results.README.read_text()
    assert "# end of the studies" in results.MENU.read_text()
    for path in results.STUDIES.glob("*/study.json"):
        content = json.loads(path.read_text())
        assert results.portable(content) == content, "python -m docs.results"
        assert results.study_page(content) == path.with_name("study.md").read_text(), "python -m docs.results"
        assert path.parent.name == found.folder_name(*found.name_and_scale(content))


def test_no_claim_is_missing_and_each_has_a_command_or_a_reason() -> None:
    assert (len(SYSTEMS), len(CLAIMS)) == (20, 79)
    assert len({(system.paper, claim.text) for system in SYSTEMS for claim in system.claims}) == 79
    assert [claim.text for claim in CLAIMS if not claim.shown_by and not claim.lacks] == []
    assert claims_page.counts(STUDIES)["commands"] >= 62
    page = results.CLAIMS.read_text()
    for place, system in enumerate(SYSTEMS, start=1):
        for number, claim in enumerate(system.claims, start=1):
            assert f"| {place}.{number} | {claims_page.cited(system)} | {claim.text} |" in page


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.recipe or system.name)
def test_a_system_is_of_its_recipes_paper_and_its_numbers_have_a_place_in_a_study(system: Any) -> None:
    if system.recipe:
        assert choose_recipe(*system.recipe.split()).stored.paper == system.paper
    for name, arm, measure in system.measured:
        assert arm in study.find(name).arms
        assert measure in study.find(name).measures


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.tested], ids=lambda claim: claim.text)
def test_what_decides_a_claim_is_expected_by_a_study(claim: Any) -> None:
    paper = next(system.paper for system in SYSTEMS if claim in system.claims)
    for one in claim.tested:
        found = study.find(one.study)
        expected = [(e.paper, e.arm, e.measure, e.than) for e in found.expected]
        alone = not one.than and one.arm in found.arms and one.measure in found.measures
        assert alone or (paper, one.arm, one.measure, one.than) in expected


def study_found(verdict: str, low: float, high: float) -> dict[str, Any]:
    """What a study writes that measured one comparison."""
    difference = {"mean": (low + high) / 2, "low": low, "high": high}
    told = {"paper": "1710.09412", "claim": "mixup is better", "arm": "mixup", "measure": "accuracy", "than": "ERM"}
    arm = {"seeds": {"0": 0.49, "1": 0.5, "2": 0.51}, "mean": 0.5, "deviation": 0.01}
    return {
        "title": "mixing, scale cpu",
        "question": "Which?",
        "reference": "ERM",
        "scale": {"seeds": [0, 1, 2], "chosen": ""},
        "machine": {"commit": "abc"},
        "commands": {
            "ERM": ["python -m train baseline --root /data/cifar-10-batches-py --folder /far/runs --name E"],
            "mixup": ["python -m train zhang2017mixup --root CIFAR", "python -m train.evaluate /far/runs/m-0"],
        },
        "measures": {
            "accuracy": {
                "better": "higher",
                "shown": "percent",
                "arms": {"ERM": {**arm, "difference": None}, "mixup": {**arm, "difference": difference}},
            }
        },
        "claims": [{**told, "verdict": verdict, "difference": difference}],
    }


@pytest.mark.parametrize(
    ("verdict", "low", "high", "shown"),
    [
        ("holds", 0.01, 0.03, "+2.0 [+1.0, +3.0]"),
        ("not resolved", -0.01, 0.03, "+1.0 [-1.0, +3.0]"),
        ("does not hold", -0.03, -0.01, "-2.0 [-3.0, -1.0]"),
    ],
)
def test_a_verdict_and_its_number_are_those_of_the_json(verdict: str, low: float, high: float, shown: str) -> None:
    claim = SYSTEMS[0].claims[0]
    assert found.verdict_of(claim, {}) == found.OPEN
    studies = {("mixing", "cpu"): study_found(verdict, low, high)}
    assert found.verdict_of(claim, studies) == verdict
    page = claims_page.claims_page(studies)
    part = page.partition(f"## {claims_page.SECTIONS[verdict]}\n")[2].partition("\n## ")[0]
    where = "[mixing](studies/mixing/study.md), cpu, 3 seeds"
    assert f"| {where}: mixup against ERM, accuracy (points, higher is better): {shown}" in part
    assert page.index(f"## {claims_page.SECTIONS[verdict]}\n") < page.index("## Not measured yet")
    assert f"accuracy 50.0 ± 1.0 [47.5, 52.5]; {shown} to ERM (mixing)" in results_page.results_page(studies)
    assert claims_page.counts(studies)["measured"] == 1
    assert claim.lacks
    line = f"- mixup: {claim.text[0].lower()}{claim.text[1:]} (not shown: {claim.lacks})."
    assert (line in results.readme_block(studies)) == (verdict == "holds")


@pytest.mark.parametrize(
    ("seeds", "verdict"),
    [((0.05, 0.06, 0.07), "holds"), ((-0.02, 0.06, 0.01), "not resolved"), ((-0.05, -0.06, -0.07), "does not hold")],
)
def test_a_measure_that_is_claimed_to_be_above_zero_is_judged_by_its_own_interval(
    seeds: tuple[float, ...], verdict: str
) -> None:
    content = study_found("holds", 0.01, 0.03)
    content["measures"]["accuracy"]["arms"]["ERM"]["seeds"] = dict(enumerate(seeds))
    (one,) = found.found_for(Comparison("mixing", "ERM", "accuracy"), {("mixing", "cpu"): content})
    assert one.verdict == verdict
    assert one.text.startswith("ERM, accuracy (points, above 0 is claimed): ")


def test_the_study_with_more_work_decides_and_both_are_shown() -> None:
    claim = SYSTEMS[0].claims[0]
    larger = {**study_found("holds", 0.01, 0.03), "title": "mixing, scale gpu-hour"}
    studies = {("mixing", "cpu"): study_found("does not hold", -0.03, -0.01), ("mixing", "gpu-hour"): larger}
    assert found.verdict_of(claim, studies) == "holds"
    row = next(line for line in claims_page.claims_page(studies).splitlines() if line.startswith("| 1.1 |"))
    assert "-2.0 [-3.0, -1.0]" in row
    assert "+2.0 [+1.0, +3.0]" in row


def test_a_study_that_is_kept_has_its_page_in_the_menu() -> None:
    key, larger = ("mixing", "cpu"), ("mixing", "gpu-hour")
    text = results.menu(results.MENU.read_text(), {key: {}, larger: {}})
    pages = ("studies/mixing/study.md", "studies/mixing-gpu-hour/study.md")
    assert re.findall(r"^          - (studies/.*)$", text, flags=re.MULTILINE) == list(pages)
    assert results.menu(text, {key: {}}) == results.menu(results.MENU.read_text(), {key: {}})


def test_what_a_study_compares_beside_the_claims_is_shown_too() -> None:
    content = study_found("holds", 0.01, 0.03)
    content["claims"][0]["than"] = "nothing"
    page = claims_page.claims_page({("mixing", "cpu"): content})
    where = "[mixing](studies/mixing/study.md), cpu, 3 seeds"
    row = f"| 1710.09412 | mixup is better | holds | {where}: mixup against nothing"
    assert row in page.partition("## Beside the abstracts")[2]


def test_the_commands_of_a_study_are_shown_as_they_run_in_any_checkout() -> None:
    content = results.portable(study_found("holds", 0.01, 0.03))
    assert content["commands"] == {
        "ERM": ["python -m train baseline --root CIFAR --folder runs/study-mixing-cpu/runs --name E"],
        "mixup": [
            "python -m train zhang2017mixup --root CIFAR",
            "python -m train.evaluate runs/study-mixing-cpu/runs/m-0",
        ],
    }
    assert results.portable(content) == content
    content["commands"]["ERM"] = ["python -m train baseline --root /data/cats"]
    with pytest.raises(ValueError, match="no word stands for the folder /data/cats"):
        results.portable(content)


def test_the_chart_of_what_mixing_costs_has_the_numbers_of_the_benchmark() -> None:
    page = cost.PAGE.read_text()
    assert cost.draw(cost.read(page)) == cost.PICTURE.read_text(), "python -m docs.cost"
    assert cost.read(page)["FFCV, ImageMixup"] == cost.Row(1.182, 0.028)
    with pytest.raises(ValueError, match="has no row 'timm, no mix'"):
        cost.read(page.replace("| timm, no mix |", "| timm |"))
