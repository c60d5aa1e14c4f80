"""The profiles processor: which losses and values a batch tells, and that it does not matter how the stream is cut."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trueloop.streams.screening import screened

from tests.factories import EMBEDDING
from tests.processors.scenario import START, context, policy, trace
from trueloop.codec import Codec
from trueloop.columns.reading import MAX_ENTRIES
from trueloop.drift.random_features import UNIT
from trueloop.events import Consent, DriftObservations, DriftValues, Event, Message, Role, Trace
from trueloop.processors.processor import Source
from trueloop.processors.profiles import OPENING, PROCESSOR, SCREEN
from trueloop.testing import MemoryRegistry
from trueloop.topics import DRIFT_VALUES, MAX_MESSAGE_BYTES, TRACES

CODEC = Codec(MemoryRegistry())
DRIFT = {
    "slices": ["locale"],
    "refusals": ["I cannot", "Tut mir leid, ÄÖ"],
    "limits": [{"metric": "latency_ms", "above": 1000}, {"metric": "completion_chars", "below": 10}],
    "profiles": {"share": 1.0},
}
CONTEXT = context(policy(drift=DRIFT))


class Record:
    def __init__(self, value: bytes, offset: int) -> None:
        self.value, self.offset = value, offset


class Batch:
    partition = 3

    def __init__(self, records: list[Record]) -> None:
        self.records = records


def batched(events: list[Trace], cuts: tuple[int, ...] | list[int] = (), given_context: Any = CONTEXT) -> tuple[Counter[str], list[Event], int]:
    """What comes out of a stream that is cut there, and how many records had to be decoded singly."""
    outcomes: Counter[str] = Counter()
    out: list[Event] = []
    singly = 0
    records = [Record(CODEC.encode(TRACES, event), offset) for offset, event in enumerate(events)]
    edges = sorted({0, len(records), *(cut % (len(records) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        batch = records[start:end]
        found, rest = screened(
            SCREEN, CODEC, TRACES, Batch(batch), context=given_context, decode=lambda place, batch=batch: CODEC.decode(TRACES, batch[place].value)
        )  # type: ignore[arg-type]
        assert not found.picked
        singly += len(rest)
        outcomes += found.outcomes
        out += found.out
    return outcomes, out, singly


def told(out: list[Event]) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """The items by metric and slice, in the order of their offsets."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for event in out:
        assert isinstance(event, DriftObservations | DriftValues)
        assert event == through_codec(event)
        if isinstance(event, DriftObservations):
            contents: Any = event.loss_values().tolist()
        else:
            contents = event.numbers().tolist() if event.width == 1 else [row.tobytes() for row in event.directions()]
        places = event.checkpoint_values().tolist() or [0 if event.checkpoints else -1] * len(contents)
        names = [*event.checkpoints, None]
        for content, offset, mark, place in zip(contents, event.offset_values().tolist(), event.mark_values().tolist(), places, strict=True):
            found.setdefault((event.metric, event.slice), []).append((offset, content, mark, names[place], event.source))
    return {series: sorted(items, key=lambda item: item[0]) for series, items in found.items()}


def through_codec(event: Event) -> Event:
    from trueloop.topics import topic_of

    return CODEC.decode(topic_of(event), CODEC.encode(topic_of(event), event))


def contents(out: list[Event], metric: str, slice_name: str = "all") -> list[Any]:
    return [item[1] for item in told(out).get((metric, slice_name), [])]


STREAM = st.lists(
    st.fixed_dictionaries(
        {
            "application": st.sampled_from(["support", "support", "unheard-of"]),
            "checkpoint": st.sampled_from([None, "v1", "v2"]),
            "consent": st.sampled_from([Consent.TRAINING, Consent.REVIEW, Consent.NONE]),
            "error": st.sampled_from([None, None, "Timeout"]),
            "slices": st.dictionaries(st.sampled_from(["locale", "plan"]), st.sampled_from(["a", "b"])),
            "latency_ms": st.sampled_from([None, 0.0, 812.25, 4000.0]),
            "prompt_tokens": st.sampled_from([None, 0, 17]),
            "completion_tokens": st.sampled_from([None, 3]),
            "completion": st.sampled_from(["", "short", "I CANNOT do that", "tut mir leid, äö" + "é" * 40, "漢字🙂" * 9]),
            "messages": st.lists(st.builds(Message, role=st.just(Role.USER), content=st.sampled_from(["", "question", "ü" * 80])), min_size=1, max_size=4),
            "embedding": st.sampled_from([None, EMBEDDING, bytes(len(EMBEDDING))]),
            "embedding_model": st.sampled_from([None, "embedder"]),
        }
    ),
    max_size=25,
)


@given(STREAM, st.lists(st.integers(0, 25), max_size=3))
@settings(max_examples=60)
def test_however_the_stream_is_cut_it_comes_to_the_same(stream: list[dict[str, Any]], cuts: list[int]) -> None:
    events = [trace(number, **changes) for number, changes in enumerate(stream)]
    outcomes: Counter[str] = Counter()
    one: list[Event] = []
    for offset, event in enumerate(events):
        step = PROCESSOR.step(None, event, source=Source("traces", 3, offset), now=START, final=False, context=CONTEXT)
        outcomes[step.outcome] += 1
        one += step.out
    batch_outcomes, batches, singly = batched(events, cuts)
    assert (batch_outcomes, singly) == (outcomes, 0)
    assert told(batches) == told(one)


def test_what_a_trace_tells() -> None:
    events = [
        trace(0, latency_ms=250.0, prompt_tokens=9, completion_tokens=4, completion="short", embedding=EMBEDDING, embedding_model="e"),
        trace(1, latency_ms=1000.5, completion="Dear customer, here you go.", slices={}),
        trace(2, error="Timeout", completion=""),
    ]
    outcomes, out, _ = batched(events)
    assert outcomes == {"described": 3}
    assert contents(out, "error") == [0.0, 0.0, 1.0]
    assert contents(out, "error", "locale=de") == [0.0, 1.0]
    assert contents(out, "refusal") == [0.0, 0.0]  # a request that failed refused nothing
    assert contents(out, "limit:latency_ms>1000") == [0.0, 1.0]  # the one that failed was not measured
    assert contents(out, "limit:completion_chars<10") == [1.0, 0.0]
    assert contents(out, "latency_ms") == [250.0, 1000.5]
    assert contents(out, "prompt_tokens") == [9.0]
    assert contents(out, "completion_chars") == [5.0, 27.0]
    (direction,) = (np.frombuffer(each, "<i2") for each in contents(out, "embedding"))
    given_vector = np.frombuffer(EMBEDDING, "<f4").astype(float)
    assert np.abs(direction / UNIT - given_vector / np.linalg.norm(given_vector)).max() <= 0.5 / UNIT
    worst = next(event.worst for event in out if isinstance(event, DriftObservations) and (event.metric, event.slice) == ("error", "all"))
    assert [item.trace_id for item in worst] == ["trace-2"]


@pytest.mark.parametrize(
    ("completion", "refuses"),
    [
        ("I cannot help with that.", 1.0),
        ("i CANNOT", 1.0),
        ("TUT MIR LEID, äö", 1.0),
        ("Sure. " + "x" * OPENING + " I cannot say more.", 0.0),
        ("é" * (OPENING - 8) + "I cannot", 1.0),  # bytes are not characters
        ("I can not", 0.0),
    ],
)
def test_a_refusal_is_a_phrase_in_the_opening(completion: str, refuses: float) -> None:
    assert contents(batched([trace(0, completion=completion)])[1], "refusal") == [refuses]


def test_without_phrases_and_limits_there_are_errors_only() -> None:
    _, out, _ = batched([trace(0, completion="I cannot")], given_context=context(policy(drift={"profiles": {"share": 0.0}})))
    assert [(event.metric, event.slice) for event in out if isinstance(event, DriftObservations)] == [("error", "all")]
    assert len(out) == 1


def test_a_share_of_the_traces_is_described_and_all_are_counted() -> None:
    events = [trace(number, latency_ms=float(number)) for number in range(2000)]
    outcomes, out, _ = batched(events, given_context=context(policy(drift={"profiles": {"share": 0.25}})))
    described = contents(out, "latency_ms")
    assert 400 < len(described) == outcomes["described"] < 600
    assert outcomes["not_described"] == 2000 - len(described)
    assert len(contents(out, "error")) == 2000
    again = contents(batched(events[1000:], given_context=context(policy(drift={"profiles": {"share": 0.25}})))[1], "latency_ms")
    assert set(again) <= set(described)


def test_a_long_conversation_is_read_singly_and_counts_as_well() -> None:
    many = [Message(role=Role.USER, content="again")] * (MAX_ENTRIES + 1)
    outcomes, out, singly = batched([trace(0, latency_ms=1.0), trace(1, latency_ms=2.0, messages=many), trace(2, latency_ms=3.0)])
    assert (singly, outcomes) == (1, {"described": 3})
    assert contents(out, "latency_ms") == [1.0, 2.0, 3.0]


def test_a_large_batch_of_embeddings_is_several_events_that_topics_take() -> None:
    outcomes, out, _ = batched(
        [trace(number, embedding=EMBEDDING) for number in range(2100)], given_context=context(policy(drift={"profiles": {"share": 1.0}}))
    )
    assert outcomes == {"described": 2100}
    embeddings = [event for event in out if isinstance(event, DriftValues) and event.metric == "embedding"]
    assert [len(event.offset_values()) for event in embeddings] == [2000, 100]
    assert max(len(CODEC.encode(DRIFT_VALUES, event)) for event in embeddings) < MAX_MESSAGE_BYTES - 100_000
    assert len(contents(out, "embedding")) == 2100


def test_what_nobody_allowed_is_not_looked_at() -> None:
    outcomes, out, _ = batched([trace(0, consent=Consent.NONE, error="Timeout", latency_ms=9.0)])
    assert (outcomes, out) == ({"no_consent": 1}, [])
