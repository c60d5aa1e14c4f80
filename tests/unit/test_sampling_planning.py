"""A budget of reviewer minutes becomes rates of the next policy version, and that becomes TOML."""

import math
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueloop.adapters.documents import load_policy, shipped, source_text
from trueloop.rubrics import Policy
from trueloop.rubrics.documents import parse_document
from trueloop.rubrics.sampling_policy import Sampling
from trueloop.rubrics.toml import toml_text
from trueloop.sampling.planning import ASSUMED_SECONDS, Evidence, Moments, next_version, overall_half_width, plan, seconds_per_label, strata_of

STRATA = [{"slice": "locale", "value": "de", "rate": 0.5}, {"slice": "locale", "value": "mt", "rate": 0.25}]
EVEN = Moments(n=100, weight=100.0, total=50.0, squares=50.0)
"""A hundred losses, half of them 1: the standard deviation is a little over 0.5."""


def evidence(traffic: float, *, seconds: float = 30.0, losses: Moments = EVEN) -> Evidence:
    return Evidence(traffic=traffic, labels=100, seconds=seconds, losses={"tone": losses})


@given(
    st.dictionaries(st.sampled_from(["all", "locale=de", "locale=mt"]), st.builds(evidence, st.floats(0, 1e6), seconds=st.floats(1, 600)), min_size=1),
    st.floats(0, 1e5),
    st.floats(0, 100),
)
def test_the_budget_is_kept_and_every_rate_is_one(known: dict[str, Evidence], minutes: float, least: float) -> None:
    found = plan(Sampling(rate=0.1, strata=STRATA), known, minutes, least)
    assert [each.name for each in found] == ["locale=de", "locale=mt", "all"]
    assert sum(each.minutes for each in found) <= minutes * (1 + 1e-9) + 1e-9
    assert all(0 <= each.rate <= 1 for each in found)
    for each in found:
        if not each.traffic:
            assert each.rate == each.rate_now
            assert "traffic" in each.assumed


def test_where_answers_differ_more_the_minutes_go() -> None:
    calm = Moments(n=100, weight=100.0, total=4.0, squares=4.0)  # 4 % are bad: 0.197
    found = {each.name: each for each in plan(Sampling(rate=0.1, strata=STRATA), {"all": evidence(1000, losses=calm), "locale=de": evidence(1000)}, 60)}
    assert found["locale=de"].rate / found["all"].rate == pytest.approx(0.5 / math.sqrt(0.04 * 0.96), rel=0.01)


def test_the_spread_is_that_of_the_population_and_of_the_worst_dimension() -> None:
    """Half of the tasks stand for nine times as many: weights 1 and 9, losses 1 and 0, so 10 % are bad."""
    weighted = Moments(n=40, weight=20 + 180, total=20.0, squares=20.0)
    assert weighted.spread == pytest.approx(math.sqrt(0.1 * 0.9 * 40 / 39))
    assert Moments(n=19, weight=19, total=9, squares=9).spread is None
    known = {"all": Evidence(traffic=10, losses={"tone": weighted, "accuracy": EVEN})}
    assert plan(Sampling(rate=0.1), known, 1)[0].spread == EVEN.spread


def test_what_a_stratum_lacks_is_taken_from_all_and_what_all_lack_is_assumed() -> None:
    known = {"all": evidence(100), "locale=de": Evidence(traffic=100, labels=3, seconds=500.0)}
    german, _, rest = plan(Sampling(rate=0.1, strata=STRATA), known, 10)
    assert german.spread == rest.spread
    assert german.seconds == pytest.approx((100 * 30 + 3 * 500) / 103)
    assert german.assumed == rest.assumed == ()
    (nothing,) = plan(Sampling(rate=0.1), {"all": Evidence(traffic=100)}, 10)
    assert (nothing.seconds, nothing.spread, nothing.assumed) == (60.0, 0.5, ("time", "spread"))
    assert seconds_per_label([]) == ASSUMED_SECONDS


def test_a_stratum_in_which_nothing_ever_differed_is_no_stratum_of_which_nothing_is_known() -> None:
    same = Moments(n=50, weight=50.0, total=0.0, squares=0.0)
    found = plan(Sampling(rate=0.1, strata=STRATA), {"all": evidence(100, losses=same), "locale=de": evidence(100)}, 10)
    assert [each.spread for each in found if each.traffic] == pytest.approx([0.5, 0.1], rel=0.01)


def test_half_widths_by_hand() -> None:
    """100 of 1000 and all of 100: the second is known exactly. 1.96 x 0.5 x sqrt(0.9 / 100) = 0.093; its share of traffic is 10/11."""
    known = {"all": Evidence(traffic=1000), "locale=de": Evidence(traffic=100)}
    found = plan(Sampling(rate=0.1, strata=STRATA, labels_needed=1), known, 200, least_tasks=100)
    by_name = {each.name: each for each in found}
    assert (by_name["all"].tasks, by_name["locale=de"].tasks) == (100, 100)
    assert by_name["locale=de"].half_width == 0
    assert by_name["all"].half_width == pytest.approx(1.96 * 0.5 * math.sqrt(0.9 / 100), rel=1e-4)
    assert overall_half_width(found) == pytest.approx(by_name["all"].half_width * 10 / 11)
    assert overall_half_width(plan(Sampling(rate=0.1), known, 0)) is None, "nothing is reviewed"


def test_the_next_version_keeps_everything_but_rates_and_means() -> None:
    sampling: dict[str, Any] = {
        "rate": 0.1, "strata": STRATA, "salt": "x", "uncertainty": {"mean": 0.5, "entropy": ["judge"], "uniform_share": 0.3},
        "anomalies": {"rate": 1.0, "latency_ms": 5.0},
    }  # fmt: skip
    document = {"id": "a", "version": 7, "sampling": sampling, "gate": {"min_items": 3}}
    known = {
        "all": Evidence(traffic=900, mean_uncertainty=0.25),
        "locale=de": Evidence(traffic=90, mean_uncertainty=0.75),
        "anomaly:SLOW": Evidence(traffic=10),
    }
    model = Sampling.model_validate(sampling)
    found = plan(model, known, 100)
    following = next_version(document, found, known)
    rates = {each.name: each.rate for each in found}
    assert following["version"] == 8
    assert following["gate"] == document["gate"]
    assert following["sampling"]["salt"] == "x"
    assert following["sampling"]["uncertainty"] == sampling["uncertainty"] | {"mean": 0.25}
    assert following["sampling"]["strata"][0] == STRATA[0] | {"rate": rates["locale=de"], "mean_uncertainty": 0.75}
    assert following["sampling"]["strata"][1] == STRATA[1]
    assert strata_of(Sampling.model_validate(following["sampling"])) == rates
    assert sampling["strata"] is STRATA, "the given document is left alone"


VALUES = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_toml_that_was_written_reads_back(document: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(document)) == document


@pytest.mark.parametrize("name", shipped(Policy))
def test_shipped_policies_survive_being_written(name: str) -> None:
    text = toml_text(tomllib.loads(source_text(name, Policy)))
    assert parse_document(Policy, text, name) == load_policy(name)
