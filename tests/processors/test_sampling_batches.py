"""The batch form of the sampling processor comes to what its single-event form comes to, however the stream is cut."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trueloop.streams.screening import screened

from tests.factories import example
from tests.processors.scenario import START, context, policy, trace
from trueloop.codec import Codec
from trueloop.errors import DecodeError
from trueloop.events import (
    Consent,
    DriftObservations,
    Event,
    PolicyPublished,
    ReviewQuota,
    ReviewTask,
    RubricPublished,
    SamplingReason,
    SliceDisagreement,
    Trace,
)
from trueloop.processors.processor import Context, Screen, Source
from trueloop.processors.profiles import SCREEN as PROFILES
from trueloop.processors.sampling import PROCESSOR, SCREEN
from trueloop.rubrics import Governance, canonical_json, content_hash
from trueloop.testing import MemoryRegistry
from trueloop.topics import TRACES

from tests.processors.scenario import RUBRIC  # isort: skip

CODEC = Codec(MemoryRegistry())


class Record:
    def __init__(self, value: bytes, offset: int) -> None:
        self.value, self.offset = value, offset


class Batch:
    partition = 3

    def __init__(self, records: list[Record]) -> None:
        self.records = records


def governed() -> Context:
    """Two versions of a policy, the second from START + 20 s and with all that probabilities may follow, another application's, review quotas, and how far
    reviewers disagree."""
    sampling = {"rate": 0.4, "calibration_share": 0.3, "review_calibration": False, "max_text_chars": 60}
    first = policy(sampling=sampling, drift={"slices": ["locale", "plan"]})
    more = {
        "salt": "2", "rate": 0.5, "strata": [{"slice": "plan", "value": "b", "rate": 0.3, "mean_uncertainty": 0.2}],
        "uncertainty": {"mean": 0.5, "uniform_share": 0.2, "entropy": ["judge"], "judges": ["judge", "tone"], "reviewers": ["tone", "accuracy"]},
        "anomalies": {"rate": 0.8, "rates": {"SLOW": 0.6}, "latency_ms": 1000, "empty_answer": True, "failed": True},
    }  # fmt: skip
    second = policy(sampling=sampling | more, drift={"slices": ["locale", "plan"]}).model_copy(update={"version": 2})
    other = first.model_copy(update={"id": "other", "application": "other"})
    since = {1: START - timedelta(days=1), 2: START + timedelta(seconds=20)}
    stamp = {"rubric_id": RUBRIC.id, "version": RUBRIC.version, "content_hash": content_hash(RUBRIC), "document": canonical_json(RUBRIC)}
    rubrics = [RubricPublished(event_id="r", occurred_at=since[1], application=name, **stamp) for name in ("support", "other")]
    policies = [
        PolicyPublished(
            event_id=f"{each.id}-{each.version}", occurred_at=since[each.version], application=each.application, policy_id=each.id,
            version=each.version, content_hash=content_hash(each), document=canonical_json(each),
        )
        for each in (first, second, other)
    ]  # fmt: skip
    quotas = [
        example(
            ReviewQuota, application="support", quota_id=name, slice=name, rate=rate,
            starts_at=START + timedelta(seconds=since), ends_at=START + timedelta(seconds=until),
        )
        for name, rate, since, until in (("locale=a", 0.9, 10, 30), ("all", 0.7, 25, 38))
    ]  # fmt: skip
    disagreements = [
        example(
            SliceDisagreement, application="support", rubric_id="support", rubric_version=1, disagreement_id=f"{dimension}-{name}-{since}",
            dimension=dimension, slice=name, disagreement=value, starts_at=START + timedelta(seconds=since),
        )
        for dimension, name, value, since in (
            ("tone", "all", 0.4, -50), ("tone", "all", 0.1, 30), ("tone", "locale=a", 0.9, 24), ("accuracy", "plan=b", 0.6, 0),
        )
    ]  # fmt: skip
    return Context(Governance(rubrics, policies, quotas, disagreements), "key")


CONTEXT = governed()
STREAM = st.lists(
    st.fixed_dictionaries(
        {
            "application": st.sampled_from(["support", "support", "other", "unheard-of"]),
            "checkpoint": st.sampled_from([None, "v1", "v2"]),
            "consent": st.sampled_from(list(Consent)),
            "error": st.sampled_from([None, None, "Timeout"]),
            "slices": st.dictionaries(st.sampled_from(["locale", "plan"]), st.sampled_from(["a", "b"])),
            "scores": st.dictionaries(st.sampled_from(["judge", "tone"]), st.sampled_from([0.0, 0.25, 0.3, 1.0])),
            "latency_ms": st.sampled_from([None, 10.0, 5000.0]),
            "completion_tokens": st.sampled_from([None, 0, 50]),
            "completion": st.sampled_from(["short", "", "é" * 25, "long " * 30]),
        }
    ),
    max_size=40,
)


def unusual(place: int) -> Any:
    raise AssertionError(f"record {place} was not read in columns")


def stepped(events: list[Trace]) -> tuple[Counter[str], list[Event]]:
    outcomes: Counter[str] = Counter()
    out: list[Event] = []
    for offset, event in enumerate(events):
        step = PROCESSOR.step(None, event, source=Source("traces", 3, offset), now=START, final=False, context=CONTEXT)
        outcomes[step.outcome] += 1
        out += step.out
    return outcomes, out


def batched(events: list[Trace], cuts: list[int]) -> tuple[Counter[str], list[Event]]:
    outcomes: Counter[str] = Counter()
    out: list[Event] = []
    records = [Record(CODEC.encode(TRACES, event), offset) for offset, event in enumerate(events)]
    edges = sorted({0, len(records), *(cut % (len(records) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        batch = records[start:end]
        found, rest = screened(SCREEN, CODEC, TRACES, Batch(batch), context=CONTEXT, decode=unusual)  # type: ignore[arg-type]
        assert not rest
        outcomes += found.outcomes
        told = [event.series_id for event in found.out if isinstance(event, DriftObservations)]
        assert len(told) == len(set(told)), "two events of a series in one batch would overlap, and one be taken for a repetition"
        out += found.out
        for place, drawn in found.picked.items():
            event = CODEC.decode(TRACES, batch[place].value)
            step = SCREEN.finish(None, event, source=Source("traces", 3, batch[place].offset), now=START, final=False, context=CONTEXT, drawn=drawn)
            outcomes[step.outcome] += 1
            out += step.out
    return outcomes, out


def items(out: list[Event]) -> dict[str, list[tuple[Any, ...]]]:
    """The observations by series, singly, in the order of their offsets."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for event in out:
        if isinstance(event, DriftObservations):
            offsets, losses, marks = event.offset_values().tolist(), event.loss_values().tolist(), event.mark_values().tolist()
            for place, loss in enumerate(losses):
                entry = (offsets[place], loss, marks[place], event.checkpoint_at(place), event.metric, event.slice, event.source)
                found.setdefault(event.series_id, []).append(entry)
    return {series: sorted(entries) for series, entries in found.items()}


def others(out: list[Event]) -> list[str]:
    return sorted(event.model_dump_json() for event in out if not isinstance(event, DriftObservations))


@given(STREAM, st.lists(st.integers(0, 40), max_size=3))
@settings(max_examples=100)
def test_however_the_stream_is_cut_it_comes_to_the_same(stream: list[dict[str, Any]], cuts: list[int]) -> None:
    events = [trace(number, **changes) for number, changes in enumerate(stream)]
    (counts, one), (batch_counts, batches) = stepped(events), batched(events, cuts)
    assert batch_counts == counts
    assert items(batches) == items(one)
    assert others(batches) == others(one)


def test_the_worst_items_are_named_and_only_those_with_a_loss() -> None:
    events = [trace(number, scores={"judge": number / 40}) for number in range(41)]
    _, out = batched(events, [])
    (told,) = [event for event in out if isinstance(event, DriftObservations) and event.slice == "all"]
    assert [(item.place, item.trace_id) for item in told.worst] == [(number, f"trace-{number}") for number in range(20)]
    perfect = [trace(number, scores={"judge": 1.0}) for number in range(5)]
    assert next(event.worst for event in batched(perfect, [])[1] if isinstance(event, DriftObservations)) == []


def test_the_scenario_reaches_every_outcome() -> None:
    """Else the law above would hold for want of cases."""
    choices = {
        "application": ["support", "support", "other", "unheard-of"], "consent": [Consent.TRAINING, Consent.REVIEW, Consent.TRAINING, Consent.NONE],
        "error": [None, None, None, "Timeout"], "completion": ["short", "é" * 25, "long " * 30],
    }  # fmt: skip
    events = [trace(n, **{name: values[(n // (i + 1)) % len(values)] for i, (name, values) in enumerate(choices.items())}) for n in range(200)]
    assert set(stepped(events)[0]) == {"sampled", "not_sampled", "no_policy", "no_consent", "failed_request", "not_reviewed", "rejected"}


def test_the_scenario_reaches_every_reason_and_stratum() -> None:
    events = [
        trace(n, slices={"locale": "abc"[n % 3], "plan": "ab"[n // 3 % 2]}, latency_ms=(10.0, 5000.0)[n // 2 % 5 == 0], scores={"judge": n % 7 / 6})
        for n in range(200)
    ]
    tasks = [event for event in stepped(events)[1] if isinstance(event, ReviewTask)]
    assert {reason for task in tasks for reason in task.reasons} == set(SamplingReason) - {
        SamplingReason.UNKNOWN, SamplingReason.APPEAL, SamplingReason.ADJUDICATION, SamplingReason.TRIAL,
    }  # fmt: skip
    assert {task.stratum for task in tasks} == {"all", "plan=b", "anomaly:SLOW", "alarm:locale=a", "alarm:all"}


def test_records_that_cannot_be_walked_are_decoded_and_take_their_place_among_the_others() -> None:
    values = [CODEC.encode(TRACES, trace(number, scores={"judge": 0.5})) for number in range(5)]
    values[2] = CODEC.encode(TRACES, trace(2, scores={"judge": 0.5}, slices={f"s{n}": "v" for n in range(100)}))
    values[3] = b"\0\0\0\0\1\xff"

    def decode(place: int) -> Any:
        try:
            return CODEC.decode(TRACES, values[place])
        except DecodeError as error:
            return error

    batch = Batch([Record(value, 10 + place) for place, value in enumerate(values)])
    found, rest = screened(SCREEN, CODEC, TRACES, batch, context=context(), decode=decode)  # type: ignore[arg-type]
    (told,) = found.out
    assert told.offset_values().tolist() == [10, 11, 12, 14]
    assert list(rest) == [2, 3]
    assert isinstance(rest[3], DecodeError)
    assert list(found.picked) == [0, 1, 2, 4]


@pytest.mark.parametrize("value", [b"", b"\1garbage", b"\0\0\0\0\1"])
def test_a_batch_that_begins_with_garbage_is_read_nevertheless(value: bytes) -> None:
    good = CODEC.encode(TRACES, trace())
    batch = Batch([Record(value, 0), Record(good, 1)])
    found, rest = screened(SCREEN, CODEC, TRACES, batch, context=context(), decode=lambda place: None if place == 0 else CODEC.decode(TRACES, good))  # type: ignore[arg-type]
    assert list(found.picked) == [1]
    assert rest[0] is None


@pytest.mark.parametrize("field", ["application", "checkpoint", "trace_id"])
@pytest.mark.parametrize("screen", [SCREEN, PROFILES])
def test_names_that_are_no_text_are_refused_and_their_neighbours_are_not(field: str, screen: Screen) -> None:
    good = [trace(number, checkpoint="v1") for number in range(4)]
    marked = trace(9, **{"checkpoint": "v1"} | {field: "@@@@@@@@"})
    values = [CODEC.encode(TRACES, event) for event in good]
    values.insert(2, CODEC.encode(TRACES, marked).replace(b"@" * 8, b"\xff" * 8))
    batch = [Record(value, offset) for offset, value in enumerate(values)]
    decoded: list[int] = []

    def decode(place: int) -> Any:
        decoded.append(place)
        with pytest.raises(DecodeError) as refusal:
            CODEC.decode(TRACES, batch[place].value)
        return refusal.value

    found, rest = screened(screen, CODEC, TRACES, Batch(batch), context=CONTEXT, decode=decode)  # type: ignore[arg-type]
    assert decoded == list(rest) == [2]
    alone, none = screened(screen, CODEC, TRACES, Batch([record for record in batch if record.offset != 2]), context=CONTEXT, decode=unusual)  # type: ignore[arg-type]
    assert not none
    assert found.outcomes == alone.outcomes
    assert items(found.out) == items(alone.out)


@pytest.mark.parametrize("size", [1, 4])
def test_of_a_score_that_comes_twice_the_last_one_counts(size: int) -> None:
    """As it does for who reads the whole trace; whether all traces of the batch have it twice, or one."""
    values = [CODEC.encode(TRACES, trace(number, scores={"judge": 0.25} | ({"@@@@@": 0.75} if number < size else {}))) for number in range(4)]
    values = [value.replace(b"@@@@@", b"judge") for value in values]
    batch = Batch([Record(value, offset) for offset, value in enumerate(values)])
    found, _ = screened(SCREEN, CODEC, TRACES, batch, context=CONTEXT, decode=unusual)  # type: ignore[arg-type]
    read = [CODEC.decode(TRACES, value) for value in values]
    assert isinstance(read[0], Trace)
    assert read[0].scores == {"judge": 0.75}
    assert items(found.out) == items(stepped([event for event in read if isinstance(event, Trace)])[1])
