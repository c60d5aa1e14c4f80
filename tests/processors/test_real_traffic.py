"""Drift in the loop on answers that nobody here wrote: a switch of the serving model alarms and is named, staying on one is quiet."""

import pytest

from tests.processors.real_traffic import ALPACA, DATA, GPT4, LLAMA, MODELS, SWITCH, VERBOSE, annotated, followed, judged, switched
from trueloop.events import DriftState

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is kept beside the repository; TRUELOOP_TEST_DATA names its folder")

TOO_SHORT, TOO_LONG = ("limit:completion_chars<500", "all"), ("limit:completion_chars>3000", "all")


def test_a_regression_alarms_within_two_batches_and_is_named() -> None:
    """Llama-3-8B to alpaca-7b: a median of 1,897 characters becomes 355. The prompts stay what they were."""
    found = followed(switched(LLAMA, ALPACA))
    assert set(found.alarms()) == {TOO_SHORT}
    assert 0 < found.alarms()[TOO_SHORT] <= 40
    assert found.together() == {TOO_SHORT}
    assert {metric for metric, _ in found.warnings()} == {"completion_chars"}
    assert min(found.warnings().values()) == 100  # the first window after the switch
    alarm = next(signal for _, signal in found.signals if signal.state is DriftState.ALARM)
    assert (alarm.reference_checkpoints, alarm.checkpoint, alarm.n_reference) == ([LLAMA], ALPACA, 300)
    assert len(alarm.evidence_trace_ids) >= 10
    newest = next(signal for _, signal in reversed(found.signals) if signal.detector == "wasserstein-distance")
    assert newest.reference_checkpoints == [ALPACA], "what serves now has a reference of its own"


@pytest.mark.long
def test_a_style_drift_alarms_later_and_is_named() -> None:
    """gpt4 to its verbose variant: a median of 2,132 characters becomes 2,485."""
    found = followed(switched(GPT4, VERBOSE))
    assert set(found.alarms()) == {TOO_LONG}
    assert 0 < found.alarms()[TOO_LONG] <= 400
    assert {metric for metric, _ in found.warnings()} == {"completion_chars"}


@pytest.mark.long
def test_staying_on_one_model_is_quiet() -> None:
    """Four models, five windows each and five statistics: of 100 comparisons one is expected to warn by chance."""
    outside = 0
    for model in MODELS:
        found = followed(switched(model, model))
        assert (found.alarms(), found.together()) == ({}, set())
        outside += sum(signal.value > signal.band_high for _, signal in found.signals if None not in (signal.value, signal.band_high) and signal.slice == "all")
    assert outside <= 4  # of Poisson counts with mean 1 more come once in 270


@pytest.mark.long
def test_a_judge_that_prefers_what_served_before_alarms_at_once() -> None:
    found = followed(judged(SWITCH))
    assert next(iter(found.alarms())) == ("score:judge_preference", "all")
    assert 0 < found.alarms()["score:judge_preference", "all"] <= 20
    assert followed(judged(None)).alarms() == {}


@pytest.mark.long
def test_annotators_who_begin_to_disagree_alarm_and_those_of_pandalm_do_not() -> None:
    assert annotated(None).alarms() == {}
    found = annotated(300).alarms()
    assert set(found) == {("disagreement:overall", "all")}
    assert 0 < found["disagreement:overall", "all"] <= 80
