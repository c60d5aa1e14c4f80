"""Series that fall silent: when they have no data, who notices, and that it is said once, also after restarts and wrong dates."""

from datetime import timedelta

from tests.factories import START
from tests.processors.drift_scenario import driver, governance, observation, states
from trueloop.events import DriftState
from trueloop.processors.drift import PROCESSOR
from trueloop.processors.processor import Context
from trueloop.testing import ProcessorDriver

HOUR = timedelta(hours=1)


def at(number, hours, series="series-1", loss=0.0):
    return observation(number, loss, series_id=series, occurred_at=START + hours * HOUR)


def filled(series="series-1", start=0, hours=0.0):
    return [at(start + number, hours, series) for number in range(20)]


def test_a_series_that_falls_silent_has_no_data_as_soon_as_another_one_shows_that_time_has_passed():
    drive = driver()
    for event in (*filled(), *filled("series-2", 100), at(200, 24, "series-2")):
        drive.send(event)
    assert DriftState.NO_DATA not in states(drive), "24 hours are not more than 24 hours"
    drive.send(at(201, 24.5, "series-2"))
    silent = drive.out[-1]
    assert (silent.series_id, silent.state, silent.occurred_at) == ("series-1", DriftState.NO_DATA, START + 24 * HOUR)
    assert (silent.n_observed, silent.n_reference, silent.log_e_value, silent.evidence_trace_ids) == (20, 20, None, [])
    drive.send(at(202, 48, "series-2"))
    assert states(drive).count(DriftState.NO_DATA) == 1, "said once"
    drive.send(at(20, 49))
    assert (drive.out[-1].series_id, drive.out[-1].state, drive.out[-1].n_observed) == ("series-1", DriftState.OK, 21)


def test_a_series_that_comes_back_says_that_it_was_silent_even_if_nobody_noticed():
    alone, noticed = driver(), driver()
    for event in (*filled(), at(20, 30)):
        alone.send(event)
    for event in (*filled(), *filled("series-2", 100), at(120, 25, "series-2"), at(20, 30)):
        noticed.send(event)
    assert [(signal.state, signal.n_observed) for signal in alone.out[-2:]] == [(DriftState.NO_DATA, 20), (DriftState.OK, 21)]
    mine = [signal for signal in noticed.out if signal.series_id == "series-1"]
    assert [signal.event_id for signal in alone.out] == list(dict.fromkeys(signal.event_id for signal in mine))
    assert {signal.event_id: signal for signal in mine} == {signal.event_id: signal for signal in alone.out}


def test_a_date_in_the_future_is_wrong_for_a_moment_only():
    drive = driver()
    for event in (*filled(), *filled("series-2", 100), at(120, 24 * 365 * 10, "series-3"), at(20, 1), at(121, 2, "series-2")):
        drive.send(event)
    assert states(drive).count(DriftState.NO_DATA) == 2
    for number in range(21, 80):
        drive.send(at(number, 2))
    assert states(drive).count(DriftState.NO_DATA) == 2
    assert drive.out[-1].state is DriftState.OK


def test_silence_survives_a_restart_and_is_said_the_same_way():
    plain, restarted = driver(), driver()
    for drive in (plain, restarted):
        for event in (*filled(), *filled("series-2", 100)):
            drive.send(event)
    restarted.restart()
    for drive in (plain, restarted):
        drive.send(at(120, 25, "series-2"))
    assert restarted.out == plain.out
    restarted.restart()
    restarted.send(at(121, 25, "series-2"))
    assert {signal.event_id for signal in restarted.out} == {signal.event_id for signal in plain.out}


def test_another_application_shows_nothing():
    drive = ProcessorDriver(PROCESSOR, Context(governance(applications=("billing-support", "other"))))
    for event in (*filled(), *(each.model_copy(update={"application": "other"}) for each in filled("series-2", 100, 99.0))):
        drive.send(event)
    assert DriftState.NO_DATA not in states(drive)
