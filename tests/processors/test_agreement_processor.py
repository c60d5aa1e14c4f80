"""The agreement processor: what reaches the estimate, in which window, and what redelivery and restarts leave alone."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.factories import example
from trueloop.agreement import ac1, alpha, observed_agreement, tally
from trueloop.events import AgreementUnits, PolicyPublished, RubricPublished, Undefined
from trueloop.processors.agreement import PROCESSOR, pane_of
from trueloop.processors.processor import Context
from trueloop.rejection import RejectReason
from trueloop.rubrics import Governance
from trueloop.rubrics.policy import Policy
from trueloop.rubrics.rubric import Rubric
from trueloop.testing import ProcessorDriver

APPLICATION = "billing-support"
NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=365)


def rubric_event(version=2):
    rubric = Rubric.model_validate(
        {
            "id": "billing",
            "version": version,
            "title": "Billing",
            "statement": "Answer well.",
            "dimensions": [{"name": "tone", "description": "Kind.", "scale": {"min": 1, "max": 5}}],
        }
    )
    return example(RubricPublished, rubric_id="billing", version=version, content_hash="rubric", document=rubric.model_dump_json())


def policy_event(version=1, since=LONG_AGO, **agreement):
    """Panes of an hour, windows of three hours."""
    policy = Policy.model_validate(
        {
            "id": "billing-policy",
            "version": version,
            "application": APPLICATION,
            "rubric": {"id": "billing", "version": 2},
            "sampling": {"rate": 1.0},
            "agreement": {"pane_minutes": 60.0, "window_panes": 3} | agreement,
            "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:tone"}]},
        }
    )
    return example(
        PolicyPublished,
        event_id=f"policy-{version}",
        policy_id="billing-policy",
        version=version,
        content_hash=f"policy-{version}",
        occurred_at=since,
        document=policy.model_dump_json(),
    )


def driver(*policies):
    return ProcessorDriver(PROCESSOR, Context(Governance([rubric_event()], policies or [policy_event()])))


def units(task, counts=(), *, at=NOON, revision=1, **changes):
    """A contribution: one unit per mapping of value to raters."""
    return example(
        AgreementUnits,
        event_id=f"units-{task}-{revision}-{changes.get('series_id', '')}",
        task_id=task,
        task_at=at,
        revision=revision,
        units=[{"unit_id": f"{task}-{n}", "values": sorted(c), "counts": [c[value] for value in sorted(c)]} for n, c in enumerate(counts)],
        **changes,
    )


def minutes(count):
    return NOON + timedelta(minutes=count)


def test_the_estimate_is_what_the_library_says_of_the_same_ratings():
    drive = driver()
    drive.send(units("a", [{1: 2, 5: 1}, {2: 2}]), at=minutes(90))
    drive.send(units("b", [{4: 1}, {4: 3}]), at=minutes(91))
    estimate = drive.out[-1]
    state = tally([{1: 2, 5: 1}, {2: 2}, {4: 1}, {4: 3}])
    assert estimate.alpha_nominal == alpha(state, "nominal").value
    assert estimate.alpha_ordinal == alpha(state, "ordinal").value
    assert estimate.ac1 == ac1(state, categories=5).value  # the scale has five values, of which four were given
    assert estimate.p_o == observed_agreement(state).value
    assert (estimate.n_units, estimate.n_labels, estimate.undefined) == (3, 8, None)
    assert (estimate.ci_low, estimate.ci_high) == (None, None)
    assert (estimate.application, estimate.series_id, estimate.dimension, estimate.slice) == (APPLICATION, "series-1", "tone", "locale=de")
    assert (estimate.window_start, estimate.window_end) == (NOON - timedelta(hours=2), NOON + timedelta(hours=1))
    assert estimate.occurred_at == minutes(91)
    assert drive.outcomes == {"counted": 2}


def test_no_evidence_is_null_with_its_reason():
    drive = driver()
    drive.send(units("a", [{3: 1}]))
    assert (drive.out[-1].n_units, drive.out[-1].alpha_ordinal, drive.out[-1].p_o, drive.out[-1].ac1) == (0, None, None, None)
    assert drive.out[-1].undefined is Undefined.NO_PAIRABLE_UNITS
    drive.send(units("b", [{3: 2}]))
    assert (drive.out[-1].n_units, drive.out[-1].alpha_ordinal, drive.out[-1].p_o, drive.out[-1].ac1) == (1, None, 1.0, 1.0)
    assert drive.out[-1].undefined is Undefined.NO_VARIATION


def test_retraction_to_empty_says_null_in_the_window_it_held():
    drive = driver()
    drive.send(units("a", [{1: 1, 2: 1}], at=minutes(-30)))
    drive.send(units("a", [], at=minutes(-30), revision=2))
    before, after = drive.out
    assert (after.n_units, after.n_labels, after.alpha_nominal, after.undefined) == (0, 0, None, Undefined.NO_PAIRABLE_UNITS)
    assert (after.window_start, after.window_end) == (before.window_start, before.window_end)
    assert after.event_id != before.event_id


def test_a_newer_revision_replaces_and_an_older_one_does_not():
    drive = driver()
    drive.send(units("a", [{1: 1, 2: 1}], revision=2))
    drive.send(units("a", [{1: 3}], revision=3))
    drive.send(units("a", [{1: 1, 2: 1}], revision=2))
    assert drive.outcomes == {"counted": 1, "replaced": 1, "stale": 1}
    assert len(drive.out) == 2
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


def test_windows_move_by_event_time_and_drop_old_panes():
    """Panes of an hour, windows of three:  | 12 a | 13 b | 14 c | 15 d |  d pushes a out."""
    drive = driver()
    for hour, task in enumerate("abcd"):
        drive.send(units(task, [{1: 2}], at=NOON + timedelta(hours=hour)), at=NOON)
    assert [estimate.n_units for estimate in drive.out] == [1, 2, 3, 3]
    assert [estimate.window_end.hour for estimate in drive.out] == [13, 14, 15, 16]


def test_the_edge_of_a_pane_belongs_to_the_next():
    drive = driver()
    drive.send(units("a", [{1: 2}], at=NOON - timedelta(microseconds=1)))
    drive.send(units("b", [{1: 2}], at=NOON))
    assert [estimate.window_end for estimate in drive.out] == [NOON, NOON + timedelta(hours=1)]


def test_late_contributions_correct_their_pane_or_nothing():
    drive = driver()
    drive.send(units("new", [{1: 2}], at=minutes(150)))
    drive.send(units("late", [{2: 2}], at=minutes(10)))
    assert (drive.out[-1].n_units, drive.out[-1].alpha_nominal) == (2, 1.0)
    drive.send(units("too-late", [{3: 2}], at=minutes(-10)))
    assert drive.out[-1].event_id == drive.out[-2].event_id  # the same evidence: the same estimate
    assert drive.outcomes == {"counted": 3}


def test_a_pane_comes_back_when_all_newer_ones_were_retracted():
    drive = driver()
    drive.send(units("old", [{1: 2}], at=minutes(-300)))
    first = drive.out[-1]
    drive.send(units("new", [{2: 2}]))
    drive.send(units("new", [], revision=2))
    assert drive.out[-1].event_id == first.event_id


def test_order_of_arrival_does_not_matter():
    events = [units(f"t{n}", [{1: 1 + n % 3, 3: 1}], at=minutes(17 * n)) for n in range(12)]
    events += [units(f"t{n}", [{2: 2}], at=minutes(17 * n), revision=2) for n in range(0, 12, 4)]
    final = set()
    for seed in range(5):
        drive = driver()
        for event in random.Random(seed).sample(events, len(events)):
            drive.send(event)
        final.add(drive.out[-1].event_id)
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


def test_one_estimate_per_series_and_batch():
    drive = driver()
    with drive.batch():
        for number in range(5):
            drive.send(units(f"t{number}", [{number + 1: 2}]))
            drive.send(units(f"t{number}", [{1: 2}], series_id="series-2", dimension="overall", slice="all"))
    assert [(estimate.series_id, estimate.n_units) for estimate in drive.out] == [("series-1", 5), ("series-2", 5)]


def test_unknown_application_is_counted_and_keeps_nothing():
    drive = driver()
    drive.send(units("a", [{1: 2}], application="nobody"))
    assert (drive.outcomes, drive.out, drive.keys) == ({"no_policy": 1}, [], ())


@pytest.mark.parametrize("unit", [{"values": [1, 2], "counts": [1]}, {"values": [2, 1], "counts": [1, 1]}, {"values": [1, 1], "counts": [1, 1]}])
def test_a_contribution_that_contradicts_itself_is_rejected(unit):
    drive = driver()
    drive.send(units("a", [{1: 2}]))
    drive.send(example(AgreementUnits, task_id="a", task_at=NOON, revision=9, units=[{"unit_id": "u", **unit}]))
    assert drive.rejected[0][1].reason is RejectReason.INVALID_EVENT
    assert drive.outcomes == {"counted": 1, "rejected": 1}
    drive.send(units("b", [{1: 2}]))
    assert drive.out[-1].n_units == 2


def test_preferences_have_a_category_more_than_candidates():
    """Places of two candidates, and a tie: three categories, also while only one was used."""
    drive = driver()
    drive.send(units("a", [{0: 3}], dimension="overall"))
    drive.send(units("b", [{0: 2, 1: 1}], dimension="overall"))
    assert drive.out[-1].ac1 == ac1(tally([{0: 3}, {0: 2, 1: 1}]), categories=3).value
    drive.send(units("c", [{-1: 1, 3: 2}], dimension="overall"))
    assert drive.out[-1].ac1 == ac1(tally([{0: 3}, {0: 2, 1: 1}, {-1: 1, 3: 2}]), categories=5).value


def test_an_unknown_rubric_and_values_off_the_scale_do_not_stop_the_series():
    drive = driver()
    drive.send(units("a", [{1: 2, 2: 1}], rubric_id="unheard-of"))
    assert drive.out[-1].ac1 == ac1(tally([{1: 2, 2: 1}])).value
    wide = dict.fromkeys(range(7), 1)
    drive.send(units("b", [wide], series_id="series-2"))
    assert drive.out[-1].ac1 == ac1(tally([wide]), categories=7).value


def test_a_later_policy_moves_nothing_that_was_counted():
    drive = driver(policy_event(), policy_event(2, NOON, pane_minutes=30.0, window_panes=2))
    drive.send(units("before", [{1: 2}], at=minutes(-20)))
    drive.send(units("after", [{2: 2}], at=minutes(5)))
    assert [(e.window_start, e.window_end, e.n_units) for e in drive.out] == [
        (minutes(-180), minutes(0), 1),
        (minutes(-30), minutes(30), 1),  # the old pane began before the new window does
    ]


@pytest.mark.parametrize(
    "moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)]
)
def test_the_ends_of_time_do_not_stop_the_series(moment):
    drive = driver()
    drive.send(units("a", [{1: 2}], at=moment))
    assert drive.out[-1].n_units == 1
    assert drive.out[-1].window_start <= moment <= drive.out[-1].window_end


def test_panes_are_aligned_to_the_epoch_before_it_too():
    assert pane_of(datetime(1969, 12, 31, 23, 59, tzinfo=UTC), 60, 1)[:2] == (0, -3_600_000_000)
    assert pane_of(datetime(1970, 1, 1, tzinfo=UTC), 60, 1)[:2] == (3_600_000_000, 0)
