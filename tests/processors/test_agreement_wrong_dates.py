"""Agreement and tasks that are dated in the future: they move no window, keep no state from expiring, and lose nothing before their time."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.processors.agreement_scenario import NOON, driver, minutes, panes, policy_event, rolling, units
from trueloop.rejection import RejectReason

HOURS, WRONG_AT, KEEP_DAYS = 6, 5, 10
WRONG = NOON + timedelta(days=13, hours=1)


def forty_days(*, wrong, restart_on=None):
    """A task every six hours for forty days; on the fifth day one that is dated eight days ahead. Returns the driver, and how many states there were."""
    drive, kept = driver(policy_event(keep_days=float(KEEP_DAYS), window_panes=24), at=NOON), []
    for number in range(40 * 24 // HOURS):
        now = NOON + timedelta(hours=number * HOURS)
        drive.clock.set(now)
        if wrong and number == WRONG_AT * 24 // HOURS:
            drive.send(units("wrong", [{5: 2}], at=WRONG))
        drive.send(units(f"t{number}", [{1: 2, 2: 1}], at=now))
        if number == restart_on:
            drive.restart()
        kept.append(len(drive.keys))
    return drive, kept


def windows_of_other_days(drive):
    return {window.event_id for window in rolling(drive) if not timedelta(hours=-2) <= window.occurred_at - WRONG <= timedelta(days=1)}


@pytest.mark.parametrize("restart_on", [None, 30, 70])
def test_one_wrong_date_moves_no_window_and_old_panes_still_expire(restart_on):
    (clean, kept), (wrong, kept_wrong) = forty_days(wrong=False), forty_days(wrong=True, restart_on=restart_on)
    for window in rolling(wrong):
        assert window.window_end <= window.occurred_at + timedelta(hours=2)  # a pane of an hour, which may begin an hour ahead of the clock
    assert windows_of_other_days(wrong) == windows_of_other_days(clean)
    assert max(kept_wrong) == max(kept) + 1 == KEEP_DAYS * 24 // HOURS + 1
    assert set(wrong.keys) == set(clean.keys)


def test_what_is_dated_ahead_counts_when_its_time_has_come():
    wrong, _ = forty_days(wrong=True)
    assert {window.n_units for window in rolling(wrong) if window.occurred_at >= NOON + timedelta(days=1)} == {4, 5}
    assert {window.window_end.date() - WRONG.date() for window in rolling(wrong) if window.n_units == 5} == {timedelta(0), timedelta(days=1)}


def test_redelivery_is_the_same():
    wrong, _ = forty_days(wrong=True)
    drive = driver(policy_event(keep_days=float(KEEP_DAYS)), at=NOON)
    drive.send(units("a", [{1: 2}]))
    drive.send(units("wrong", [{5: 2}], at=NOON + timedelta(days=8)))
    drive.send(units("far", [{5: 2}], at=NOON + timedelta(days=400)))
    told, keys = {event.event_id for event in drive.out}, set(drive.keys)
    assert {event.event_id for event in drive.replay()} <= told
    assert (set(drive.keys), [rejection.reason for _, rejection in drive.rejected]) == (keys, [RejectReason.INVALID_EVENT] * 2)
    assert wrong.rejected == []


@pytest.mark.parametrize("moment", [NOON + timedelta(days=12), datetime(9999, 12, 31, tzinfo=UTC)])
def test_a_date_beyond_what_is_kept_is_refused_and_its_neighbours_count(moment):
    drive = driver(policy_event(keep_days=float(KEEP_DAYS)), at=NOON)
    drive.send(units("a", [{1: 2}]))
    drive.send(units("far", [{5: 2}], at=moment))
    drive.send(units("b", [{1: 2}]))
    assert [rejection.reason for _, rejection in drive.rejected] == [RejectReason.INVALID_EVENT]
    assert (rolling(drive)[-1].n_units, rolling(drive)[-1].window_end, len(drive.keys)) == (2, minutes(60), 2)


def test_a_quiet_series_that_expires_leaves_what_waits_for_its_time():
    drive = driver(policy_event(keep_days=1.0), at=NOON)
    drive.send(units("old", [{1: 2}], series_id="quiet"))
    drive.send(units("ahead", [{2: 2}], at=NOON + timedelta(hours=36), series_id="quiet"), at=NOON + timedelta(hours=20))
    drive.send(units("a", [{1: 2}], at=NOON + timedelta(hours=26), series_id="busy"), at=NOON + timedelta(hours=26))
    assert drive.outcomes == {"counted": 3, "expired": 1}
    drive.send(units("ahead", [{2: 3}], at=NOON + timedelta(hours=36), series_id="quiet", revision=2), at=NOON + timedelta(hours=37))
    assert (rolling(drive)[-1].n_labels, panes(drive)[-1].n_labels) == (3, 3)
    drive.send(units("b", [{1: 2}], at=NOON + timedelta(hours=62), series_id="busy"), at=NOON + timedelta(hours=62))
    assert drive.outcomes == {"counted": 4, "replaced": 1, "expired": 3}
    assert len(drive.keys) == 1
