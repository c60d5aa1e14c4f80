"""What counts as a difference between a log and its rebuild, and what does not."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trueloop.streams.catalog import NAMES, processors
from trueloop.streams.rerun import RecordClock
from trueloop.streams.shadow_comparison import Scope
from trueloop.streams.shadow_plan import PLAN, RULES, SENT
from trueloop.streams.state_topics import is_ordered

from trueloop import topics
from trueloop.commands.replay_log import moment_of
from trueloop.drift.observations import mark_of
from trueloop.errors import ConfigurationError
from trueloop.replay_log.causes import Facts, cause_of
from trueloop.replay_log.comparison import EventComparison, LastWordComparison, Said
from trueloop.replay_log.difference import MEANING, Cause, Compared, Difference, Kind, Place
from trueloop.replay_log.items import ItemComparison
from trueloop.sampling.draws import hashes

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def said(identity: str, content: str = "", subject: str = "", offset: int = 0) -> Said:
    return Said(identity, subject or identity, content.encode(), Place(0, offset))


def compared(comparison: Any, real: list[Said], rebuilt: list[Said], in_flight: list[Said] | None = None) -> Compared:
    for each in real:
        comparison.take_real(each)
    for each in rebuilt:
        comparison.take_rebuilt(each, in_flight=False)
    for each in in_flight or []:
        comparison.take_rebuilt(each, in_flight=True)
    found: Compared = comparison.result()
    return found


def kinds(found: Compared) -> list[tuple[str, str]]:
    return [(difference.kind.value, difference.identity) for difference in found.differences]


EVENTS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xy")), max_size=8)


@given(EVENTS, st.randoms(use_true_random=False))
def test_order_and_repetition_of_events_do_not_matter(events: list[tuple[str, str]], rng: Any) -> None:
    real = [said(*event) for event in events] + [said(*event) for event in rng.choices(events, k=3) if events] if events else []
    rebuilt = [said(*event) for event in rng.sample(events, k=len(events))]
    found = compared(EventComparison("topic"), real, rebuilt)
    assert found.is_identical
    assert found.identical == len(set(events))
    assert found.repeated == len(real) - len(set(events))


@given(EVENTS, EVENTS)
def test_whatever_only_one_side_says_is_a_difference(real: list[tuple[str, str]], rebuilt: list[tuple[str, str]]) -> None:
    found = compared(EventComparison("topic"), [said(*event) for event in real], [said(*event) for event in rebuilt])
    assert found.is_identical == (set(real) == set(rebuilt))
    told = {(d.kind, d.identity) for d in found.differences}
    for identity in {identity for identity, _ in real} - {identity for identity, _ in rebuilt}:
        assert (Kind.UNEXPECTED, identity) in told
    for identity in {identity for identity, _ in rebuilt} - {identity for identity, _ in real}:
        assert (Kind.MISSING, identity) in told
    different = found.of_kind(Kind.DIFFERENT)
    assert found.of_kind(Kind.MISSING) + different == len(set(rebuilt) - set(real))
    assert found.of_kind(Kind.UNEXPECTED) + different == len(set(real) - set(rebuilt))


def test_what_came_in_meanwhile_is_no_difference_unless_the_log_says_otherwise() -> None:
    found = compared(EventComparison("topic"), [said("a"), said("late")], [said("a")], [said("late"), said("later")])
    assert (kinds(found), found.in_flight, found.identical) == ([], 1, 2)
    found = compared(EventComparison("topic"), [said("late", "other")], [], [said("late", "this")])
    assert kinds(found) == [("different", "late")]


def test_what_differs_beside_something_identical_is_half_known() -> None:
    found = compared(EventComparison("topic"), [said("a", subject="s"), said("forged", subject="s"), said("lone", subject="t")], [said("a", subject="s")])
    assert sorted(kinds(found)) == [("unexpected", "forged"), ("unexpected", "lone")]
    assert found.half_known == {"s"}


def test_compaction_excuses_only_what_a_later_record_replaced() -> None:
    kept = {"key-1"}
    found = compared(EventComparison("topic", is_compacted=kept.__contains__), [said("new", subject="key-1")],
                     [said("old", subject="key-1"), said("new", subject="key-1"), said("gone", subject="key-2")])  # fmt: skip
    assert (kinds(found), found.superseded) == ([("missing", "gone")], 1)


def test_the_last_word_of_each_subject_counts() -> None:
    real = [said("1", "early", "s"), said("2", "late", "s"), said("9", "only here", "t"), said("7", "x", "moving")]
    rebuilt = [said("0", "another way", "s"), said("2", "late", "s"), said("3", "only there", "u"), said("8", "y", "moving")]
    found = compared(LastWordComparison("topic"), real, rebuilt, [said("8", "z", "moving")])
    assert sorted(kinds(found)) == [("missing", "3"), ("unexpected", "9")]
    assert (found.identical, found.superseded, found.in_flight) == (1, 1, 1)
    assert kinds(compared(LastWordComparison("topic"), real[:2], [said("0", "another way", "s")])) == [("different", "2")]


def batch(numbers: range | list[int], losses: dict[int, float] | None = None, **changes: Any) -> dict[str, Any]:
    """An event of drift-observations about traces by number, as it is decoded."""
    names = [f"trace-{number}".encode() for number in numbers]
    found = {
        "application": "app", "event_id": f"{numbers[0]}-{numbers[-1]}", "series_id": "series", "metric": "score:judge", "slice": "all", "source": "traces/1",
        "offsets": np.array(numbers, "<i8").tobytes(), "marks": hashes(names).astype("<i8").tobytes(),
        "losses": np.array([(losses or {}).get(number, number / 100) for number in numbers], "<f8").tobytes(),
        "checkpoints": ["one"], "checkpoint_of": b"", "worst": [{"place": 0, "trace_id": names[0].decode()}],
    }  # fmt: skip
    return found | changes


def items(real: list[dict[str, Any]], rebuilt: list[dict[str, Any]], in_flight: list[dict[str, Any]] | None = None, **options: Any) -> Compared:
    comparison = ItemComparison("drift-observations", **options)
    for offset, record in enumerate(real):
        comparison.take_real(record, Place(0, offset))
    for offset, record in enumerate(rebuilt):
        comparison.take_rebuilt(record, Place(0, offset), in_flight=False)
    for offset, record in enumerate(in_flight or []):
        comparison.take_rebuilt(record, Place(0, 100 + offset), in_flight=True)
    return comparison.result()


@given(st.sets(st.integers(1, 39)), st.sets(st.integers(1, 39)))
def test_items_do_not_depend_on_how_batches_are_cut(cuts: set[int], other_cuts: set[int]) -> None:
    def cut(at: set[int]) -> list[dict[str, Any]]:
        edges = [0, *sorted(at), 40]
        return [batch(range(first, last)) for first, last in itertools.pairwise(edges)]

    found = items([*cut(cuts), batch(range(30, 40))], cut(other_cuts))
    assert found.is_identical
    assert (found.identical, found.repeated) == (40, 10)


def test_items_that_differ_are_named() -> None:
    found = items([batch([1, 2, 3]), batch([9])], [batch([1, 2, 3], {2: 0.5}), batch([4])], [batch([5])])
    assert sorted(kinds(found)) == [("different", "traces/1@2"), ("missing", "traces/1@4"), ("unexpected", "traces/1@9")]
    assert found.in_flight == 1
    assert kinds(items([batch([1], checkpoints=["other"])], [batch([1])])) == [("different", "traces/1@1")]
    assert kinds(items([batch([1], series_id="other")], [batch([1])])) != []
    before = items([batch([1, 2])], [batch([2])], is_before_cut=lambda source, offset: (source, offset) == ("traces/1", 1))
    assert (before.is_identical, before.before_cut) == (True, 1)


def test_a_worst_item_that_is_not_of_its_batch_is_named() -> None:
    for worst in ([{"place": 0, "trace_id": "trace-2"}], [{"place": 7, "trace_id": "trace-1"}]):
        assert kinds(items([batch([1], worst=worst)], [batch([1])])) == [("different", "app/1-1")]


@pytest.mark.parametrize("width", [1, 384])
def test_values_are_compared_item_by_item_too(width: int) -> None:
    def values(first: int, last: int, changed: int = -1) -> dict[str, Any]:
        record = batch(range(first, last), metric="latency_ms" if width == 1 else "embedding", width=width)
        rows = np.arange(first, last, dtype="<f8" if width == 1 else "<i2").repeat(width).reshape(-1, width)
        if changed >= 0:
            rows[changed - first, -1] += 1
        return {name: value for name, value in record.items() if name not in ("losses", "worst")} | {"values": rows.tobytes()}

    assert items([values(0, 40), values(30, 40)], [values(0, 7), values(7, 40)]).is_identical
    assert kinds(items([values(0, 40, changed=9)], [values(0, 7), values(7, 40)])) == [("different", "traces/1@9")]


def test_losses_from_labels_are_compared_whole() -> None:
    from_label = batch([1], source=None, offsets=b"", event_id="label")
    assert items([from_label], [from_label]).is_identical
    assert kinds(items([from_label], [from_label | {"worst": []}])) == [("different", "app/label")]


def different(kind: Kind = Kind.MISSING, subject: str = "task-1", fields: tuple[str, ...] = ()) -> Difference:
    return Difference(kind, "app/event", subject, fields=fields)


def test_causes() -> None:
    facts = Facts(early_tasks=frozenset({"early"}), first_policy={"app": NOW}, datasets=frozenset({"d@1"}))
    before = {"application": "app", "occurred_at": NOW - timedelta(seconds=1), "task_id": "task-1"}
    after = before | {"occurred_at": NOW}
    assert cause_of("review-queue", different(), None, before, facts) is Cause.LATER_DOCUMENT
    assert cause_of("review-queue", different(), None, after, facts) is Cause.UNEXPLAINED
    assert cause_of("review-queue", different(Kind.UNEXPECTED), before, None, facts) is Cause.UNEXPLAINED
    by_alarm = after | {"stratum": "alarm:locale=de", "reasons": ["ALARM"]}
    assert cause_of("review-queue", different(), None, by_alarm, facts) is Cause.LATER_QUOTA
    assert cause_of("review-queue", different(), None, by_alarm | {"reasons": ["UNIFORM"]}, facts) is Cause.UNEXPLAINED
    raised = different(Kind.DIFFERENT, fields=("sampling_prob", "stratum"))
    told = Facts(told_late={"support": ((NOW, NOW + timedelta(minutes=5)),)})
    for minutes, cause in ((-1, Cause.UNEXPLAINED), (0, Cause.LATER_DISAGREEMENT), (5, Cause.LATER_DISAGREEMENT), (6, Cause.UNEXPLAINED)):
        drawn = {"application": "support", "occurred_at": NOW + timedelta(minutes=minutes), "stratum": "all", "reasons": ["UNCERTAINTY"]}
        assert cause_of("review-queue", different(), None, drawn, told) is cause
    assert cause_of("review-queue", raised, after | {"stratum": "all"}, by_alarm, facts) is Cause.LATER_QUOTA
    assert cause_of("review-queue", raised, by_alarm, after | {"stratum": "all"}, facts) is Cause.UNEXPLAINED
    assert cause_of("preference-pairs", different(), None, after | {"task_id": "early"}, facts) is Cause.LABEL_BEFORE_TASK
    assert cause_of("labels.dead-letters", different(Kind.UNEXPECTED, "early"), None, None, facts) is Cause.LABEL_BEFORE_TASK
    request = {"dataset": "d", "dataset_version": 1}
    assert cause_of("training-requests", different(), None, request, facts) is Cause.ARRIVAL_ORDER
    assert cause_of("training-requests", different(), None, request | {"dataset_version": 2}, facts) is Cause.UNEXPLAINED
    assert cause_of("training-requests", different(Kind.DIFFERENT, fields=("occurred_at",)), request, request, facts) is Cause.ARRIVAL_ORDER
    assert cause_of("training-requests", different(Kind.DIFFERENT, fields=("config",)), request, request, facts) is Cause.UNEXPLAINED
    alarmed = replace(facts, trained_on_alarm=frozenset({"app"}))
    assert cause_of("dataset-versions", different(Kind.DIFFERENT, fields=("n_new",)), after, after, facts) is Cause.UNEXPLAINED
    assert cause_of("dataset-versions", different(Kind.DIFFERENT, fields=("n_new",)), after, after, alarmed) is Cause.ARRIVAL_ORDER
    superseded = {"reasons": ["BASELINE_SUPERSEDED"]}
    assert cause_of("gates", different(Kind.DIFFERENT, fields=("verdict",)), superseded, {"reasons": ["MEETS_ALL"]}, facts) is Cause.ARRIVAL_ORDER
    assert cause_of("gates", different(Kind.DIFFERENT, fields=("verdict",)), {"reasons": []}, {"reasons": []}, facts) is Cause.UNEXPLAINED
    assert set(MEANING) == set(Cause)


def test_what_follows_from_a_difference_is_told_apart() -> None:
    facts = Facts(differing={"review-queue": {"task-9"}, "agreement-units": {"task-9", "s-1"}})
    assert cause_of("preference-pairs", different(Kind.UNEXPECTED, "task-9"), {"task_id": "task-9"}, None, facts) is Cause.FOLLOWS
    assert cause_of("agreement", different(Kind.DIFFERENT, "s-1"), {"series_id": "s-1"}, {"series_id": "s-1"}, facts) is Cause.FOLLOWS
    assert cause_of("agreement", different(Kind.DIFFERENT, "s-2"), {"series_id": "s-2"}, {"series_id": "s-2"}, facts) is Cause.UNEXPLAINED
    assert cause_of("review-queue", different(Kind.UNEXPECTED, "task-9"), {"task_id": "task-9"}, None, facts) is Cause.UNEXPLAINED


def test_the_plan_holds_every_worker_and_every_topic() -> None:
    assert [part.processor for part in PLAN] == list(NAMES)
    written = {topic for part in PLAN for topic in part.outputs}
    assert set(RULES) == written
    assert set(topics.ALL) == written | set(SENT)
    for part, processor in zip(PLAN, processors(part.processor for part in PLAN), strict=True):
        from_rebuild = {*part.rebuilt, *part.rebuilt_when_cut}
        assert from_rebuild <= written & set(processor.inputs)
        # What is merged by time is taken from the log.
        assert not (from_rebuild and is_ordered(processor))


def test_moments() -> None:
    assert moment_of("0", NOW) is None
    assert moment_of("2026-11-19T10:00:00+02:00", NOW) == datetime(2026, 11, 19, 8, tzinfo=UTC)
    for wrong in ("yesterday", "2026-11-19T10:00:00", "2026-11-21T10:00:00Z", "1"):
        with pytest.raises(ConfigurationError, match="--from is"):
            moment_of(wrong, NOW)


def test_the_clock_of_a_rerun_is_that_of_its_records() -> None:
    clock = RecordClock()
    clock.reach(0, 2_000)
    clock.reach(0, 1_000)
    assert clock() == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)
    # Another partition begins anew.
    clock.reach(1, 1_000)
    assert clock() == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_a_rebuild_from_a_moment_on_is_about_what_came_since() -> None:
    scope = Scope(NOW, {("traces", 1): 10})
    scope.take_in("task-new")
    before, since = ({"occurred_at": NOW - timedelta(seconds=ago), "adjudicates": None} for ago in (1, 0))
    assert scope.leaves_out(topics.REVIEW_QUEUE, before)
    assert not scope.leaves_out(topics.REVIEW_QUEUE, since)
    assert scope.leaves_out(topics.PREFERENCE_PAIRS, {"task_id": "task-old"})
    assert not scope.leaves_out(topics.PREFERENCE_PAIRS, {"task_id": "task-new"})
    for task, left_out in (("task-old", True), ("task-new", False)):
        assert scope.leaves_out(topics.REVIEW_QUEUE, since | {"adjudicates": task}) is left_out
        record = {"source": None, "marks": np.array([mark_of(task)], "<i8").tobytes()}
        assert scope.leaves_out(topics.DRIFT_OBSERVATIONS, record) is left_out
    assert scope.is_before("traces/1", 9)
    assert not scope.is_before("traces/1", 10)
    assert not scope.leaves_out(topics.GATES, before)
    everything = Scope()
    assert not everything.leaves_out(topics.REVIEW_QUEUE, before)
    assert not everything.is_before("traces/1", 0)
