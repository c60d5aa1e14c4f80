"""The agreement processor: which contributions count, and what redelivery, order, batches and restarts leave alone."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.processors.agreement_scenario import NOON, SCALE, batch, driver, minutes, panes, rolling, units
from trueloop.agreement import gwet_ac1, gwet_ac2, krippendorff_alpha, observed_agreement
from trueloop.events.agreement import WindowKind
from trueloop.events.agreement_units import UnitKind
from trueloop.processors.agreement import PROCESSOR
from trueloop.processors.processor import Source
from trueloop.rejection import RejectReason
from trueloop.testing import Clock


def test_a_newer_revision_replaces_and_an_older_one_does_not():
    drive = driver()
    drive.send(units("a", [{1: 1, 2: 1}], revision=2))
    drive.send(units("a", [{1: 3}], revision=3))
    drive.send(units("a", [{1: 1, 2: 1}], revision=2))
    assert drive.outcomes == {"counted": 1, "replaced": 1, "stale": 1}
    assert len(rolling(drive)) == len(panes(drive)) == 2
    assert (drive.out[-1].n_units, drive.out[-1].n_labels) == (1, 3)


def test_the_same_revision_with_other_content_replaces():
    """A contribution is a function of its labels: what came last is what was computed last."""
    drive = driver()
    drive.send(units("a", [{1: 2}]))
    drive.send(units("a", [{1: 3}]))
    assert drive.out[-1].n_labels == 3


def test_replay_changes_nothing():
    drive = driver()
    for number in range(6):
        drive.send(units(f"t{number}", [{1: 2, 2: number + 1}], at=minutes(20 * number)))
    drive.send(units("t3", [{4: 2}], at=minutes(60), revision=2))
    states = {key: drive.state(key) for key in drive.keys}
    out = list(drive.out)
    assert drive.replay() == []
    assert {key: drive.state(key) for key in drive.keys} == states
    assert drive.out == out
    assert drive.outcomes["duplicate"] == 6
    assert drive.outcomes["stale"] == 1


def test_order_of_arrival_does_not_matter():
    events = [units(f"t{n}", [{1: 1 + n % 3, 3: 1}], at=minutes(17 * n)) for n in range(12)]
    events += [units(f"t{n}", [{2: 2}], at=minutes(17 * n), revision=2) for n in range(0, 12, 4)]
    final = set()
    for seed in range(5):
        drive = driver()
        for event in random.Random(seed).sample(events, len(events)):
            drive.send(event)
        newest = {event.window_start: event.event_id for event in panes(drive)}
        final.add((rolling(drive)[-1].event_id, *sorted(newest.items())))
    assert len(final) == 1


@pytest.mark.parametrize("cut", range(6))
def test_restart_in_the_middle_changes_nothing(cut):
    events = [units(f"t{n % 4}", [{1: n + 1, 2: 2}], at=minutes(40 * (n % 4)), revision=n + 1) for n in range(6)]
    plain, restarted = driver(), driver()
    for number, event in enumerate(events):
        plain.send(event)
        if number == cut:
            restarted.restart()
        restarted.send(event)
    assert restarted.out == plain.out


RATED = st.lists(st.dictionaries(st.integers(1, 5), st.integers(1, 3), max_size=3), max_size=3)

CHANGES = st.lists(st.tuples(st.integers(0, 5), RATED), min_size=1, max_size=14)


@settings(max_examples=40)
@given(CHANGES, st.integers(0, 13))
def test_at_every_prefix_the_stream_equals_the_batch(changes, restart_at):
    """Tasks come, change and are emptied in any order, in four panes; window and panes are what a fresh count of what stands gives."""
    drive, standing = driver(), {}
    for number, (task, counted) in enumerate(changes):
        if number == restart_at:
            drive.restart()
        drive.send(units(f"t{task}", counted, at=minutes(45 * task), revision=number + 1))
        standing[task] = [counts for counts in counted if counts]
        newest = max(45 * task // 60 for task in ([t for t, c in standing.items() if c] or standing))
        inside = {f"t{t}": c for t, c in standing.items() if newest - 3 < 45 * t // 60 <= newest}
        same(rolling(drive)[-1], batch(inside))
        hour = 45 * task // 60
        same(panes(drive)[-1], batch({f"t{t}": c for t, c in standing.items() if 45 * t // 60 == hour}))


def same(estimate, evidence):
    alpha, ac1, ac2 = krippendorff_alpha(evidence, level="ordinal"), gwet_ac1(evidence, categories=SCALE), gwet_ac2(evidence, categories=SCALE)
    assert (estimate.n_units, estimate.n_labels, estimate.n_tasks) == (alpha.n_units, alpha.n_labels, evidence.clusters)
    assert (estimate.alpha, estimate.ac1, estimate.ac2, estimate.p_o) == (alpha.value, ac1.value, ac2.value, observed_agreement(evidence).value)
    assert (estimate.ac1_low, estimate.ac1_high) == (ac1.ci_low, ac1.ci_high)
    if estimate.window_kind is WindowKind.ROLLING:
        assert (estimate.alpha_low, estimate.alpha_high, estimate.undefined) == (alpha.ci_low, alpha.ci_high, alpha.undefined)


def test_one_estimate_per_series_window_and_batch():
    drive = driver()
    with drive.batch():
        for number in range(5):
            drive.send(units(f"t{number}", [{number + 1: 2}]))
            drive.send(units(f"t{number}", [{1: 2}], series_id="series-2", dimension="overall", slice="all", kind=UnitKind.PREFERENCE))
    assert [(estimate.series_id, estimate.n_units) for estimate in rolling(drive)] == [("series-1", 5), ("series-2", 5)]
    assert [(estimate.series_id, estimate.n_units) for estimate in panes(drive)] == [("series-1", 5), ("series-2", 5)]


def test_unknown_application_and_rubric_are_counted_and_keep_nothing():
    drive = driver()
    drive.send(units("a", [{1: 2}], application="nobody"))
    drive.send(units("a", [{1: 2}], rubric_id="unheard-of"))
    assert (drive.outcomes, drive.out, drive.keys) == ({"no_policy": 1, "no_rubric": 1}, [], ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"units": [{"unit_id": "u", "values": [1, 2], "counts": [1]}]}, RejectReason.INVALID_EVENT),
        ({"units": [{"unit_id": "u", "values": [2, 1], "counts": [1, 1]}]}, RejectReason.INVALID_EVENT),
        ({"units": [{"unit_id": "u", "values": [1, 1], "counts": [1, 1]}]}, RejectReason.INVALID_EVENT),
        ({"units": [{"unit_id": "u", "values": [0, 1], "counts": [1, 1]}]}, RejectReason.OFF_SCALE),
        ({"units": [{"unit_id": "u", "values": [1, 6], "counts": [1, 1]}]}, RejectReason.OFF_SCALE),
        ({"units": [{"unit_id": "u", "values": [2], "counts": [1]}], "dimension": "spans:tone", "kind": UnitKind.SPAN}, RejectReason.OFF_SCALE),
        ({"units": [{"unit_id": "u", "values": [-2], "counts": [1]}], "dimension": "overall", "kind": UnitKind.PREFERENCE}, RejectReason.OFF_SCALE),
        ({"dimension": "charm"}, RejectReason.UNKNOWN_DIMENSION),
        ({"task_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}, RejectReason.INVALID_EVENT),
    ],
)
def test_what_cannot_count_is_rejected_with_its_reason_and_its_neighbours_count(changes, reason):
    drive = driver()
    drive.send(units("a", [{1: 2}]))
    drive.send(units("a", [{1: 2}], revision=9, **changes))
    assert drive.rejected[0][1].reason is reason
    assert drive.outcomes == {"counted": 1, "rejected": 1}
    drive.send(units("b", [{1: 2}]))
    assert drive.out[-1].n_units == 2


def test_a_state_that_was_stored_counts_as_the_one_that_was_not():
    """In a worker a state comes from memory until it restarts. Numbers that come back as others would change ids."""
    event, clock = units("a", [{1: 2, 5: 1}, {2: 2}]), Clock(NOON)
    context = driver().context
    step = PROCESSOR.step(None, event, source=Source("agreement-units", 0, 0), now=clock(), final=False, context=context)
    told = []
    for state in (step.state, PROCESSOR.load(PROCESSOR.dump(step.state))):
        view = PROCESSOR.view()
        view.fold("key", None, state)
        told.append(view.summarise(step.touched, now=clock(), context=context))
    assert told[0] == told[1]
    assert len(told[0]) == 2
