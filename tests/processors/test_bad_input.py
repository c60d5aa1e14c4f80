"""Bad input, one row each: what every public statistic and every station makes of it. Nothing that is unknown is 0 or 1.

The table for people stands in `trueloop.statistics`.
"""

import math
import struct
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.processors.scenario import START, context, label, ratings, task, trace
from trueloop import statistics as st
from trueloop.codec import Codec
from trueloop.errors import DecodeError
from trueloop.events import AgreementUnits, DriftObservations
from trueloop.events.agreement_units import UnitKind
from trueloop.labels.contributions import agreement_series
from trueloop.processors import agreement, collection, drift, reviewers
from trueloop.processors.processor import Processor
from trueloop.rejection import RejectReason
from trueloop.testing import Clock, MemoryRegistry, ProcessorDriver
from trueloop.topics import AGREEMENT, AGREEMENT_UNITS, DRIFT_OBSERVATIONS, REVIEWERS, TRACES

NAN = math.nan
AGREEMENT_OF = {
    "p_o": st.observed_agreement, "alpha": st.krippendorff_alpha, "ac1": st.gwet_ac1, "ac2": st.gwet_ac2, "fleiss": st.fleiss_kappa, "cohen": st.cohen_kappa,
}  # fmt: skip
LABELS, CHANCES, JUDGE = [1.0, 0.0] * 30, [0.5] * 60, [0.75, 0.25] * 30


class Case(NamedTuple):
    """Bad input, and what comes of it: a value, how many units it stands on, and why the value or its interval is missing."""

    given: str
    call: Callable[[], Any]
    value: float | None
    n: int
    undefined: str | None


def agree(name: str, rows: list[tuple[Any, Any, Any]], **options: Any) -> Callable[[], Any]:
    columns: tuple[list[Any], list[Any], list[Any]] = ([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    return lambda: AGREEMENT_OF[name](*columns, **options)


SINGLES = [(f"u{n}", "ada" if n % 2 else "ben", n % 3) for n in range(40)]
CONSTANT = [(f"u{n // 2}", "ada" if n % 2 else "ben", 3) for n in range(80)]
MISSING = [(f"u{n // 2}", "ada" if n % 2 else "ben", NAN) for n in range(80)]
FEW = [("u1", "ada", 1), ("u1", "ben", 1), ("u2", "ada", 1), ("u2", "ben", 2), ("u3", "ada", 2), ("u3", "ben", 2)]

DEFINED = [
    *(Case(f"{given}: {name}", agree(name, rows), None, 0, "NO_PAIRABLE_UNITS")
      for given, rows in (("nothing", []), ("single-label units", SINGLES), ("all missing", MISSING)) for name in AGREEMENT_OF),
    *(Case(f"constant: {name}", agree(name, CONSTANT), None, 40, "NO_VARIATION") for name in AGREEMENT_OF if name != "p_o"),
    Case("constant: they do agree, but nothing shows how surely", agree("p_o", CONSTANT), 1.0, 40, "NO_VARIATION"),
    *(Case(f"few units: {name}", agree(name, FEW), value, 3, "TOO_FEW_UNITS") for name, value in (("p_o", 2 / 3), ("alpha", 4 / 9), ("cohen", 0.4))),
    Case("no readings of spans", lambda: st.span_alpha([], [], [], []), None, 0, "NO_PAIRABLE_UNITS"),
    Case("nothing marked by anybody", lambda: st.span_f1(["d", "d"], ["x", "y"], [[], []]), None, 1, "NO_VARIATION"),
    Case("only ties", lambda: st.position_bias([1, 2], [-1, -1]), None, 0, "NO_PAIRABLE_UNITS"),
    Case("no labels: hajek", lambda: st.hajek([None] * 9, CHANCES[:9]), None, 0, "NO_LABELS"),
    Case("no labels: aipw", lambda: st.aipw([None, NAN], CHANCES[:2], JUDGE[:2]), None, 0, "NO_LABELS"),
    Case("no labels: ppi++", lambda: st.prediction_powered_mean([None] * 9, JUDGE[:9]), None, 0, "NO_LABELS"),
    Case("one label", lambda: st.hajek([0.5], [0.5]), 0.5, 1, "ONE_CLUSTER"),
    Case("constant labels", lambda: st.hajek([0.5] * 40, CHANCES[:40]), 0.5, 40, "NO_VARIATION"),
    Case("constant labels on a scale", lambda: st.hajek([1.0] * 40, CHANCES[:40], scale=(0, 1)), 1.0, 40, None),
    Case("weight 1: always labelled", lambda: st.hajek(LABELS, [1.0] * 60), 0.5, 60, None),
    Case("weights of 1 beside others", lambda: st.hajek([1.0, 0.0, 1.0], [1.0, 0.25, 1.0]), 1 / 3, 3, None),
    Case("probability 0 where there is no label", lambda: st.hajek([*LABELS, None], [*CHANCES, 0.0]), 0.5, 60, None),
    Case("NaN from the judge on a few", lambda: st.prediction_powered_mean(LABELS, [NAN, NAN, *JUDGE[2:]]), 0.5, 60, None),
    Case("NaN from the judge on all: the labels alone", lambda: st.prediction_powered_mean(LABELS, [NAN] * 60), 0.5, 60, None),
    Case("NaN from the judge on all: aipw", lambda: st.aipw(LABELS, CHANCES, [NAN] * 60), 0.5, 60, None),
    Case("a constant judge", lambda: st.pearson_correlation(LABELS, [0.5] * 60), None, 60, "NO_VARIATION"),
    Case("no gold items", lambda: st.gold_accuracy([None, NAN]), None, 0, "NO_LABELS"),
    Case("a reviewer with one gold item", lambda: st.gold_accuracy([1]), 1.0, 1, None),
    Case("a judgement of weight 0", lambda: st.reliability([0.0], [START], 30, weights=[0.0]), 0.5, 1, None),
    Case("a reviewer with one judgement", lambda: st.reliability([1.0], [START], 30), 2 / 3, 1, None),
    Case("no losses", lambda: st.e_detector([]), None, 0, "NO_REFERENCE"),
    Case("losses that are all missing", lambda: st.e_detector([NAN] * 300), None, 0, "NO_REFERENCE"),
    Case("no values in time", lambda: st.betting_confidence_sequence([]), None, 0, "NO_CURRENT"),
]  # fmt: skip


@pytest.mark.parametrize("case", DEFINED, ids=lambda case: case.given)
def test_what_the_functions_say(case: Case) -> None:
    found = case.call()
    assert found.value == (None if case.value is None else pytest.approx(case.value))
    assert found.n == case.n
    said = getattr(found, "undefined", None)
    assert (None if said is None else said.value) == case.undefined
    interval = getattr(found, "interval", None)
    if case.undefined is not None:
        assert interval is None
    elif hasattr(found, "interval") and case.value is not None:
        assert interval is not None
        assert interval[0] < interval[1]


@pytest.mark.parametrize("compare", [st.population_stability_index, st.jensen_shannon_divergence, st.wasserstein_distance, st.two_sample_e_value])
def test_what_comparisons_say_of_nothing(compare: Callable[..., Any]) -> None:
    values = [0.25, 0.5, 0.75] * 20
    for before, now, reason in (([], values, "NO_REFERENCE"), (values, [], "NO_CURRENT")):
        found = compare(before, now)
        assert (found.value, found.undefined.value, found.state.value) == (None, reason, "NO_DATA")
    if compare is not st.two_sample_e_value:
        assert compare([NAN] * 9, values).undefined.value == "NO_REFERENCE"


def test_what_dawid_and_skene_say_of_little() -> None:
    assert st.dawid_skene([], [], []).undefined is not None
    assert st.dawid_skene(["a"], ["ada"], [NAN]).posterior == {}
    fit = st.dawid_skene(["a", "a", "b", "b", "c"], ["ada", "ben", "ada", "ben", "cleo"], [1, 1, 0, 0, 1])
    once = fit.accuracy("cleo")
    assert fit.n_labels["cleo"] == 1
    assert once is not None
    assert 0.5 < once < 0.95, "one label makes nobody infallible"
    assert fit.accuracy("nobody") is None
    alone = st.dawid_skene(["a", "b"], ["ada", "ben"], [1, 1])  # single labels of one category: nothing to tell apart
    assert alone.categories == (1,)


REFUSED = {
    "off the scale": (lambda: st.krippendorff_alpha(["u", "u"], ["ada", "ben"], [1, 7], level="ordinal", categories=[1, 2, 3]), "none of the 3 categories"),
    "below a ratio scale": (lambda: st.krippendorff_alpha(["u", "u"], ["ada", "ben"], [1, -1], level="ratio"), "0 or above"),
    "two values of one": (lambda: st.fleiss_kappa(["u", "u"], ["ada", "ada"], [1, 2]), "second, different value"),
    "weight 0 of what was labelled": (lambda: st.hajek([1.0], [0.0]), "probabilit"),
    "weight above 1": (lambda: st.hajek([1.0], [1.5]), "probabilit"),
    "weight NaN of what was labelled": (lambda: st.hajek([1.0], [NAN]), "probabilit"),
    "infinite label": (lambda: st.hajek([math.inf], [0.5]), "no finite number"),
    "infinite judge": (lambda: st.prediction_powered_mean(LABELS, [math.inf, *JUDGE[1:]]), "no finite number"),
    "text from a judge": (lambda: st.aipw([1.0], [0.5], ["very good"]), "no finite number"),
    "loss above 1": (lambda: st.e_detector([0.5, 1.5]), r"expected a number in \[0, 1\]"),
    "right above 1": (lambda: st.gold_accuracy([2]), "expected 0, 1, or the share"),
    "a choice that was not there": (lambda: st.position_bias([1], [5]), "none of the places"),
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_the_functions_refuse(given: str) -> None:
    call, says = REFUSED[given]
    with pytest.raises(ValueError, match=says) as refused:
        call()
    assert "very good" not in str(refused.value)


def driver(processor: Processor) -> ProcessorDriver:
    return ProcessorDriver(processor, context(), Clock(START + timedelta(hours=1)))


BAD_LABELS = {
    "off the scale": ({"ratings": ratings({"a": {"tone": 6}})}, RejectReason.OFF_SCALE),
    "below the scale": ({"ratings": ratings({"a": {"tone": 0}})}, RejectReason.OFF_SCALE),
    "unknown dimension": ({"ratings": ratings({"a": {"charm": 1}})}, RejectReason.UNKNOWN_DIMENSION),
    "another rubric version": ({"ratings": ratings({"a": {"tone": 4}}), "rubric_version": 2}, RejectReason.RUBRIC_MISMATCH),
    "another rubric": ({"ratings": ratings({"a": {"tone": 4}}), "rubric_id": "other"}, RejectReason.RUBRIC_MISMATCH),
    "nothing said": ({}, RejectReason.EMPTY_LABEL),
}


@pytest.mark.parametrize("given", BAD_LABELS)
def test_a_bad_label_is_a_dead_letter_and_counts_nowhere(given: str) -> None:
    changes, reason = BAD_LABELS[given]
    for with_bad in (True, False):
        run = driver(collection.PROCESSOR)
        run.send(task())
        if with_bad:
            run.send(label("eve", **changes))
            assert [rejection.reason for _, rejection in run.rejected] == [reason]
        run.send(label("ada", ratings=ratings({"a": {"tone": 4}})))
        if with_bad:
            kept = [(event.series_id, event.units) for event in run.out_of(AGREEMENT_UNITS)]
        else:
            assert [(event.series_id, event.units) for event in run.out_of(AGREEMENT_UNITS)] == kept
    people = driver(reviewers.PROCESSOR)
    people.send(task())
    people.send(label("eve", **changes))
    assert people.out_of(REVIEWERS) == []


def units(values: list[int], counts: list[int], number: int = 0, **changes: Any) -> AgreementUnits:
    fields: dict[str, Any] = {
        "event_id": f"units-{number}", "occurred_at": START, "application": "support", "series_id": agreement_series("support", "tone", "all", "support", 1),
        "dimension": "tone", "slice": "all", "rubric_id": "support", "rubric_version": 1, "kind": UnitKind.RATING, "task_id": f"task-{number}",
        "task_at": START, "revision": 1, "units": [{"unit_id": "u", "values": values, "counts": counts}],
    }  # fmt: skip
    return AgreementUnits(**(fields | changes))


def test_what_the_agreement_worker_says_of_little() -> None:
    run = driver(agreement.PROCESSOR)
    run.send(units([4], [1]))
    single = run.out_of(AGREEMENT)[-1]
    assert (single.n_units, single.p_o, single.alpha, single.ac1, single.undefined.value) == (0, None, None, None, "NO_PAIRABLE_UNITS")
    for number in range(1, 30):
        run.send(units([4], [2], number))
    constant = run.out_of(AGREEMENT)[-1]
    assert (constant.n_units, constant.alpha, constant.undefined.value) == (29, None, "NO_VARIATION")
    assert (constant.p_o, constant.p_o_low, constant.ac1_low) == (1.0, None, None), "all agree, and nothing shows how surely"
    run.send(units([], [], 1, revision=2))
    assert run.out_of(AGREEMENT)[-1].n_units == 28
    run.send(units([4], [2], 40, rubric_version=9))
    run.send(units([9], [2], 41))
    run.send(units([1], [2], 42, dimension="charm"))
    assert run.outcomes["no_rubric"] == 1
    assert [rejection.reason for _, rejection in run.rejected] == [RejectReason.OFF_SCALE, RejectReason.UNKNOWN_DIMENSION]


def test_a_reviewer_with_one_label_is_known_of_and_not_judged() -> None:
    run = driver(reviewers.PROCESSOR)
    run.send(task())
    run.send(label("ada", ratings=ratings({"a": {"tone": 4}})))
    (ada,) = run.out_of(REVIEWERS)
    assert (ada.n_labels, ada.n_gold, ada.gold_low, ada.gold_high, ada.reliability, ada.first_share) == (1, 0, None, None, [], None)


def test_nan_from_a_judge_is_refused_at_the_door() -> None:
    codec, mark = Codec(MemoryRegistry()), 0.12345678901
    data = codec.encode(TRACES, trace(scores={"judge": mark}))
    poisoned = data.replace(struct.pack("<d", mark), struct.pack("<d", NAN))
    assert poisoned != data
    with pytest.raises(DecodeError) as refused:
        codec.decode(TRACES, poisoned)
    assert refused.value.reason is RejectReason.INVALID_EVENT


def test_nan_among_losses_is_refused_at_the_door_and_a_constant_series_alarms_never() -> None:
    def losses(values: list[float], number: int = 0) -> DriftObservations:
        return DriftObservations(
            event_id=f"losses-{number}", occurred_at=START, application="support", series_id="s", metric="score:judge", slice="all",
            losses=np.array(values, "<f8").tobytes(), marks=np.arange(number, number + len(values), dtype="<i8").tobytes(),
        )  # fmt: skip

    codec, run = Codec(MemoryRegistry()), driver(drift.PROCESSOR)
    data = codec.encode(DRIFT_OBSERVATIONS, losses([0.5, 0.12345678901]))
    with pytest.raises(DecodeError):
        codec.decode(DRIFT_OBSERVATIONS, data.replace(struct.pack("<d", 0.12345678901), struct.pack("<d", NAN)))
    for constant in (0.0, 1.0):
        run = driver(drift.PROCESSOR)
        for number in range(5):
            run.send(losses([constant] * 200, 200 * number))
        states = {signal.state.value for signal in run.out}
        assert "ALARM" not in states
        assert run.out[0].reference_mean in (None, constant)
