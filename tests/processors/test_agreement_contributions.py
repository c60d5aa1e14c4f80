"""What collection says of a task to the agreement series: ratings, preferences by place and position, and marked spans."""

from datetime import timedelta

import pytest

from tests.processors.scenario import START, context, label, policy, prefers, ratings, task
from trueloop.events import Candidate, ReviewForm, SpanMark
from trueloop.events.agreement_units import UnitKind
from trueloop.processors.agreement import PROCESSOR as AGREEMENT_PROCESSOR
from trueloop.processors.collection import PROCESSOR
from trueloop.rejection import RejectReason
from trueloop.sampling.blinding import blind
from trueloop.testing import Clock, ProcessorDriver
from trueloop.topics import AGREEMENT_UNITS

KEY = "test-blinding-key"


def driver(**changes):
    run = ProcessorDriver(PROCESSOR, context())
    run.send(task(labels_needed=2, **changes))
    return run


def said(run, dimension, name="all"):
    """The newest contribution to a series."""
    return [event for event in run.out_of(AGREEMENT_UNITS) if (event.dimension, event.slice) == (dimension, name)][-1]


def span(start, end, candidate="a", dimension="tone"):
    return SpanMark(candidate_id=candidate, start=start, end=end, dimension=dimension, severity="MINOR")


def test_ratings_are_counted_per_candidate():
    run = driver()
    run.send(label("r1", ratings=ratings({"a": {"tone": 4}, "b": {"tone": 2}})))
    run.send(label("r2", ratings=ratings({"a": {"tone": 4}})))
    found = said(run, "tone", "locale=de")
    assert found.kind is UnitKind.RATING
    assert [(unit.unit_id, unit.values, unit.counts, unit.shown) for unit in found.units] == [("a", [4], [2], None), ("b", [2], [1], None)]


def test_preferences_are_counted_by_place_and_by_position():
    """Places are those before the shuffling; the position is the one that the reviewers saw."""
    shown = blind(KEY, "task-1", ["served", "other"])
    for first in (0, 1):
        run = ProcessorDriver(PROCESSOR, context())
        run.send(task(form=ReviewForm.PAIRWISE).model_copy(update={"candidates": shown}))
        run.send(label("r1", preferences=prefers(shown[first].candidate_id)))
        run.send(label("r2", preferences=prefers(shown[0].candidate_id)))
        run.send(label("r3", preferences=prefers(None)))
        (unit,) = said(run, "overall").units
        served = int(shown[0].completion != "served")
        counts = {-1: 1, served: 1 + (first == 0)} | ({1 - served: 1} if first else {})
        assert dict(zip(unit.values, unit.counts, strict=True)) == counts
        assert (unit.shown, unit.shown_first) == (2, 2 - first)
    assert said(run, "overall").kind is UnitKind.PREFERENCE


def test_spans_are_counted_by_characters_on_every_dimension_and_candidate():
    """'text a' has six characters: r1 marks 0-3, r2 marks 2-5 on tone; nobody marks anything else, and that counts, too."""
    run = driver(form=ReviewForm.SPAN)
    run.send(label("r1", spans=[span(0, 4)]))
    run.send(label("r2", spans=[span(2, 6)]))
    tone, safety = said(run, "spans:tone"), said(run, "spans:safety")
    assert tone.kind is UnitKind.SPAN
    assert [(unit.unit_id, unit.values, unit.counts, unit.repeats) for unit in tone.units] == [
        ("a", [0, 1], [1, 1], 4),
        ("a", [1], [2], 2),
        ("b", [0], [2], 6),
    ]
    assert [(unit.unit_id, unit.values, unit.counts, unit.repeats) for unit in safety.units] == [("a", [0], [2], 6), ("b", [0], [2], 6)]


def test_who_marks_no_span_says_that_there_is_none():
    run = driver(form=ReviewForm.SPAN)
    run.send(label("r1"))
    assert run.outcomes == {"task_opened": 1, "accepted": 1}
    assert [(unit.values, unit.counts, unit.repeats) for unit in said(run, "spans:tone").units] == [([0], [1], 6), ([0], [1], 6)]
    other = driver(form=ReviewForm.RATING)
    other.send(label("r1"))
    assert other.rejected[0][1].reason is RejectReason.EMPTY_LABEL


def test_spans_beside_ratings_are_no_agreement_on_spans():
    """Only who was asked to mark errors has said by an unmarked character that it is none."""
    run = driver()
    run.send(label("r1", ratings=ratings({"a": {"tone": 4}}), spans=[span(0, 4)]))
    assert {event.dimension for event in run.out_of(AGREEMENT_UNITS)} == {"tone"}


def test_retracted_spans_leave_their_series_empty():
    run = driver(form=ReviewForm.SPAN)
    first = label("r1", spans=[span(0, 4)])
    run.send(first)
    run.send(label("r1", retracts=first.event_id, at=START + timedelta(hours=1)))
    assert {event.dimension: event.units for event in run.out_of(AGREEMENT_UNITS)} == {f"spans:{name}": [] for name in ("accuracy", "safety", "tone")}


def test_an_empty_completion_has_no_characters():
    run = ProcessorDriver(PROCESSOR, context())
    run.send(task(form=ReviewForm.SPAN).model_copy(update={"candidates": [Candidate(candidate_id="a", completion="")]}))
    run.send(label("r1"))
    assert said(run, "spans:tone").units == []


@pytest.mark.parametrize("form", [ReviewForm.SPAN, ReviewForm.PAIRWISE, ReviewForm.RATING])
def test_what_collection_says_the_agreement_processor_takes(form):
    run = driver(form=form)
    for reviewer in ("r1", "r2"):
        run.send(label(reviewer, ratings=ratings({"a": {"tone": 4}}), preferences=prefers("a"), spans=[span(0, 4)]))
    agreement = ProcessorDriver(AGREEMENT_PROCESSOR, context(), Clock(START + timedelta(hours=1)))
    for event in run.out_of(AGREEMENT_UNITS):
        agreement.send(event)
    assert agreement.rejected == []
    assert {event.dimension for event in agreement.out} == {"overall", "tone"} | (
        {"spans:tone", "spans:safety", "spans:accuracy"} if form is ReviewForm.SPAN else set()
    )


def test_a_policy_may_ask_for_spans():
    assert policy(sampling={"form": "SPAN"}).sampling.form is ReviewForm.SPAN
