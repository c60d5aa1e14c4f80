"""Panes and windows of agreement: in which a task counts, what late labels, later policies and wrong dates do to them, and what is forgotten when."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.processors.agreement_scenario import NOON, driver, minutes, panes, policy_event, rolling, rubric_event, units
from trueloop.events import Undefined
from trueloop.events.agreement import WindowKind
from trueloop.processors.agreement import pane_of
from trueloop.processors.processor import Context
from trueloop.rubrics import Governance
from trueloop.rubrics.policy import Agreement, Policy


def test_retraction_to_empty_says_null_in_the_window_it_held():
    drive = driver()
    drive.send(units("a", [{1: 1, 2: 1}], at=minutes(-30)))
    drive.send(units("a", [], at=minutes(-30), revision=2))
    for before, after in (rolling(drive), panes(drive)):
        assert (after.n_units, after.n_labels, after.alpha, after.undefined) == (0, 0, None, Undefined.NO_PAIRABLE_UNITS)
        assert (after.window_start, after.window_end) == (before.window_start, before.window_end)
        assert after.event_id != before.event_id


def test_windows_move_by_event_time_and_drop_old_panes():
    """Panes of an hour, windows of three:  | 12 a | 13 b | 14 c | 15 d |  d pushes a out."""
    drive = driver()
    for hour, task in enumerate("abcd"):
        drive.send(units(task, [{1: 2}], at=NOON + timedelta(hours=hour)))
    assert [estimate.n_units for estimate in rolling(drive)] == [1, 2, 3, 3]
    assert [estimate.window_end.hour for estimate in rolling(drive)] == [13, 14, 15, 16]
    assert [(estimate.n_units, estimate.window_start.hour, estimate.window_end.hour) for estimate in panes(drive)] == [(1, h, h + 1) for h in (12, 13, 14, 15)]


def test_the_edge_of_a_pane_belongs_to_the_next():
    drive = driver()
    drive.send(units("a", [{1: 2}], at=NOON - timedelta(microseconds=1)))
    drive.send(units("b", [{1: 2}], at=NOON))
    assert [estimate.window_end for estimate in rolling(drive)] == [NOON, NOON + timedelta(hours=1)]


def test_a_label_after_its_window_closed_corrects_its_pane_and_no_other():
    drive = driver()
    for hour in range(5):
        drive.send(units(f"t{hour}", [{1: 2}], at=NOON + timedelta(hours=hour)))
    before = {event.window_start: event for event in panes(drive)}
    drive.send(units("t0", [{1: 2, 4: 1}], at=NOON, revision=2))
    *_, corrected, window = drive.out
    assert (corrected.window_kind, corrected.window_start, corrected.n_labels, corrected.p_o) == (WindowKind.PANE, NOON, 3, 1 / 3)
    assert before[NOON].n_labels == 2
    assert window.event_id == rolling(drive)[-2].event_id  # the pane lies behind the rolling window, which says what it said before
    drive.send(units("t0", [{1: 2}], at=NOON, revision=3))
    assert panes(drive)[-1].event_id == before[NOON].event_id  # retracted again: the pane is what it was


def test_late_contributions_correct_their_pane_and_the_window():
    drive = driver()
    drive.send(units("new", [{1: 2}], at=minutes(150)))
    drive.send(units("late", [{2: 2}], at=minutes(10)))
    assert (rolling(drive)[-1].n_units, rolling(drive)[-1].alpha_nominal) == (2, 1.0)
    drive.send(units("too-late", [{3: 2}], at=minutes(-10)))
    assert rolling(drive)[-1].event_id == rolling(drive)[-2].event_id  # the same evidence: the same estimate
    assert drive.outcomes == {"counted": 3}


def test_a_pane_comes_back_when_all_newer_ones_were_retracted():
    drive = driver()
    drive.send(units("old", [{1: 2}], at=minutes(-300)))
    first = rolling(drive)[-1]
    drive.send(units("new", [{2: 2}]))
    drive.send(units("new", [], revision=2))
    assert rolling(drive)[-1].event_id == first.event_id


def test_a_later_policy_moves_nothing_that_was_counted():
    drive = driver(policy_event(), policy_event(2, NOON, pane_minutes=30.0, window_panes=2))
    drive.send(units("before", [{1: 2}], at=minutes(-20)))
    drive.send(units("after", [{2: 2}], at=minutes(5)))
    assert [(e.window_start, e.window_end, e.n_units) for e in rolling(drive)] == [
        (minutes(-180), minutes(0), 1),
        (minutes(-30), minutes(30), 1),  # the old pane began before the new window does
    ]


def test_a_pane_in_which_the_policy_changed_is_told_as_one():
    drive = driver(policy_event(keep_days=2.0), policy_event(2, minutes(30), keep_days=1.0), at=NOON + timedelta(days=9))
    drive.send(units("before", [{1: 2}], at=minutes(20)))
    drive.send(units("after", [{2: 2}], at=minutes(40)))
    assert [(e.window_start, e.window_end, e.n_units) for e in panes(drive)] == [(minutes(0), minutes(60), 1), (minutes(0), minutes(60), 2)]
    drive.send(units("next", [{2: 2}], at=minutes(36 * 60)))  # by one policy the pane is final, by the other not
    drive.send(units("after", [{2: 3}], at=minutes(40), revision=2))
    assert (panes(drive)[-1].n_units, panes(drive)[-1].n_labels, len(drive.keys)) == (2, 5, 3)
    drive.send(units("last", [{2: 2}], at=minutes(49 * 60)))
    assert len(drive.keys) == 2


def test_a_task_dated_in_the_future_drags_no_window_and_counts_when_its_time_has_come():
    drive = driver(at=minutes(30))
    drive.send(units("a", [{1: 2}]))
    drive.send(units("ahead", [{2: 2}], at=NOON + timedelta(days=2)))
    window = rolling(drive)[-1]
    assert (window.window_end, window.n_units) == (minutes(60), 1)
    assert (panes(drive)[-1].window_start, panes(drive)[-1].n_units) == (NOON + timedelta(days=2), 1)
    drive.send(units("b", [{1: 2}], at=NOON + timedelta(days=2, minutes=1)), at=NOON + timedelta(days=2, minutes=2))
    window = rolling(drive)[-1]
    assert (window.window_end, window.n_units) == (NOON + timedelta(days=2, hours=1), 2)


def test_a_clock_that_is_a_little_wrong_is_allowed_for():
    drive = driver(policy_event(ahead_hours=3), at=NOON)
    drive.send(units("a", [{1: 2}]))
    drive.send(units("b", [{1: 2}], at=minutes(180)))
    drive.send(units("c", [{1: 2}], at=minutes(240)))
    assert [window.window_end for window in rolling(drive)] == [minutes(60), minutes(240), minutes(240)]


def test_a_series_that_lies_in_the_future_has_panes_and_no_window_yet():
    drive = driver(at=minutes(-300))
    drive.send(units("ahead", [{2: 2}]))
    assert [event.window_kind for event in drive.out] == [WindowKind.PANE]


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_the_ends_of_time_do_not_stop_the_series(moment):
    drive = driver()
    drive.send(units("a", [{1: 2}], at=moment))
    assert drive.out[-1].n_units == 1
    assert drive.out[-1].window_start <= moment <= drive.out[-1].window_end


def test_the_end_of_time_does_not_stop_the_series_either():
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    drive = driver(at=end)
    drive.send(units("a", [{1: 2}], at=end))
    assert drive.out[-1].window_start <= end <= drive.out[-1].window_end


def test_what_is_final_is_forgotten_by_event_time():
    drive = driver(policy_event(keep_days=1.0), at=NOON + timedelta(days=9))
    for day in range(4):
        for number in range(3):
            drive.send(units(f"t{day}-{number}", [{1: 2, 2: 1}], at=NOON + timedelta(days=day, minutes=number)))
    assert len(drive.keys) == 3
    assert drive.outcomes == {"counted": 12, "expired": 9}
    drive.restart()
    drive.send(units("t3-0", [{1: 3}], at=NOON + timedelta(days=3), revision=2))
    assert rolling(drive)[-1].n_labels == 9


def test_a_label_for_what_is_final_is_counted_as_expired_and_corrects_nothing():
    drive = driver(policy_event(keep_days=1.0), at=NOON + timedelta(days=9))
    drive.send(units("old", [{1: 2}]))
    drive.send(units("new", [{1: 2}], at=NOON + timedelta(days=3)))
    told = len(drive.out)
    drive.send(units("old", [{1: 3}], revision=2))
    assert [event.window_kind for event in drive.out[told:]] == [WindowKind.ROLLING]
    assert drive.out[-1].event_id == drive.out[told - 1].event_id
    assert drive.outcomes == {"counted": 3, "expired": 2}
    assert len(drive.keys) == 1


def test_a_quiet_series_is_kept_whole_until_its_application_has_moved_on():
    drive = driver(policy_event(keep_days=1.0), at=NOON + timedelta(days=9))
    for hour in range(3):
        drive.send(units(f"q{hour}", [{1: 2}], at=NOON + timedelta(hours=hour), series_id="quiet"))
    drive.send(units("a", [{1: 2}], at=NOON + timedelta(hours=25), series_id="busy"))
    assert len(drive.keys) == 4  # the first pane of the quiet series is a day older by now, but its window is still told as one
    drive.send(units("b", [{1: 2}], at=NOON + timedelta(hours=26), series_id="busy"))
    assert len(drive.keys) == 2
    assert drive.outcomes == {"counted": 5, "expired": 3}


def test_a_series_of_another_application_is_not_hurried():
    drive = driver(policy_event(keep_days=1.0), at=NOON + timedelta(days=9))
    drive.send(units("q", [{1: 2}], series_id="quiet"))
    other = policy_event(keep_days=1.0)
    document = Policy.model_validate_json(other.document).model_copy(update={"id": "other", "application": "other"})
    drive.context = Context(
        Governance([rubric_event()], [policy_event(keep_days=1.0), other.model_copy(update={"policy_id": "other", "document": document.model_dump_json()})])
    )
    drive.send(units("a", [{1: 2}], at=NOON + timedelta(days=8), series_id="busy", application="other"))
    assert len(drive.keys) == 2


def test_panes_are_aligned_to_the_epoch_before_it_too():
    assert pane_of(datetime(1969, 12, 31, 23, 59, tzinfo=UTC), Agreement())[:2] == (0, -3_600_000_000)
    assert pane_of(datetime(1970, 1, 1, tzinfo=UTC), Agreement())[:2] == (3_600_000_000, 0)


def test_a_long_window_is_kept_as_long_as_it_is():
    pane = pane_of(NOON, Agreement(pane_minutes=1440, window_panes=90, keep_days=30))
    assert pane.keep == pane.span == 90 * 86_400_000_000
