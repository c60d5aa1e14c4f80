"""Our agreement statistics against independent libraries, on published and on random tables."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit import agreement_tables as tables
from tests.unit.agreement_tables import columns, of_contingency, of_counts
from trueloop.agreement import cohen_kappa, fleiss_kappa, gwet_ac1, gwet_ac2, krippendorff_alpha

PYTHON = Path(__file__).parents[2] / "build" / "oracles" / "bin" / "python"
ANSWERS = Path(__file__).with_name("answers.py")
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the oracles have an environment of their own: run make test-oracles")

LEVELS = ("nominal", "ordinal", "interval", "ratio")
WEIGHTS = ("ordinal", "linear", "quadratic", "ratio")
TABLES = 150


def random_table(chance: random.Random) -> dict[str, Any]:
    """Ratings of 1 to 5 by 2 to 6 raters who agree more or less; two at least on every unit, so that Gwet's variance is ours, too."""
    raters, categories, noise = chance.choice((2, 2, 3, 4, 6)), chance.choice((2, 3, 5)), chance.random()
    missing = 0.0 if raters == 2 else chance.choice((0.0, 0.3))
    table: list[list[int | None]] = []
    for _ in range(chance.randrange(5, 60)):
        truth = chance.randrange(1, categories + 1)
        ratings: list[int | None] = [truth if chance.random() > noise else chance.randrange(1, categories + 1) for _ in range(raters)]
        for rater in range(2, raters):
            if chance.random() < missing:
                ratings[rater] = None
        table.append(chance.sample(ratings, raters))
    return {"table": table, "categories": list(range(1, categories + 1))}


def questions() -> list[dict[str, Any]]:
    known = [
        (tables.KRIPPENDORFF_2011[:11], [1, 2, 3, 4, 5]),
        ([[1 + value for value in row] for row in tables.JON_AND_HAN], [1, 2]),
        ([[None if value is None else 1 + value for value in row] for row in tables.HAYES_2007], [1, 2, 3, 4]),
        ([[1 + value for value in row] for row in of_counts(tables.FLEISS_1971)], [1, 2, 3, 4, 5]),
        *(
            ([[1 + value for value in row] for row in of_contingency(table)], list(range(1, len(table) + 1)))
            for table in (tables.ABSTRACTORS, tables.COHEN_1960, tables.FLEISS_COHEN_EVERITT_1969, tables.PARADOX_OF_PREVALENCE, tables.PREVALENT)
        ),
    ]
    chance = random.Random(20261121)
    drawn = [random_table(chance) for _ in range(TABLES)]
    # The oracles divide by zero where nothing varies; what we say then is tested elsewhere.
    return [{"table": table, "categories": categories} for table, categories in known] + [
        q for q in drawn if len({v for r in q["table"] for v in r} - {None}) > 1
    ]


@pytest.fixture(scope="module")
def answered() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    asked = questions()
    done = subprocess.run([str(PYTHON), str(ANSWERS)], input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(zip(asked, json.loads(done.stdout), strict=True))


def test_there_is_something_to_compare(answered: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    assert len(answered) > TABLES
    assert sum("cohen identity" in answer for _, answer in answered) > 20


def test_alpha_is_that_of_two_libraries(answered: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for question, answer in answered:
        ratings = columns(question["table"])
        for level in LEVELS:
            ours = krippendorff_alpha(*ratings, level=level).value  # type: ignore[arg-type]
            assert ours == pytest.approx(answer[f"alpha {level}"], abs=1e-9), (level, question)
        assert krippendorff_alpha(*ratings).value == pytest.approx(answer["krippendorff identity"]["value"], abs=1e-9)
        assert krippendorff_alpha(*ratings, level="interval").value == pytest.approx(answer["krippendorff quadratic"]["value"], abs=1e-9)


def test_coefficients_and_standard_errors_of_gwet_and_fleiss(answered: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for question, answer in answered:
        ratings, categories = columns(question["table"]), question["categories"]
        found = {"gwet identity": gwet_ac1(*ratings, categories=categories), "fleiss identity": fleiss_kappa(*ratings)}
        found |= {f"gwet {weights}": gwet_ac2(*ratings, categories=categories, weights=weights) for weights in WEIGHTS}  # type: ignore[arg-type]
        for name, ours in found.items():
            assert ours.value == pytest.approx(answer[name]["value"], abs=1e-9), (name, question)
            assert (ours.std_error or 0.0) == pytest.approx(answer[name]["std_error"], abs=1e-7), (name, question)


def test_cohen_kappa_is_conger_kappa_of_two_raters(answered: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for question, answer in answered:
        for weights in (None, *WEIGHTS):
            theirs = answer.get(f"cohen {weights or 'identity'}")
            if theirs is not None:
                ours = cohen_kappa(*columns(question["table"]), weights=weights, categories=question["categories"])  # type: ignore[arg-type]
                assert ours.value == pytest.approx(theirs["value"], abs=1e-9), (weights, question)
                assert (ours.std_error or 0.0) == pytest.approx(theirs["std_error"], abs=1e-7), (weights, question)
