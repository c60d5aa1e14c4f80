"""The drift section of a policy: what it takes, what it refuses, and what follows from a budget of false alarms."""

import pytest
from pydantic import ValidationError

from trueloop.rubrics.policy import Drift, Limit


def test_a_budget_over_all_series_gives_the_run_length_of_each() -> None:
    drift = Drift.model_validate({"budget": {"false_alarms": 2, "losses": 600_000}})
    assert drift.arl_target == 300_000.0
    assert Drift.model_validate(drift.model_dump()) == drift
    assert Drift.model_validate_json(drift.model_dump_json()) == drift


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": {"false_alarms": 2, "losses": 600_000}, "arl_target": 5000.0}, "give one of them"),
        ({"budget": {"false_alarms": 0, "losses": 600_000}}, "false_alarms"),
        ({"budget": {"false_alarms": 10, "losses": 500}}, "arl_target"),  # 50 is less than anybody may ask for
        ({"budget": 7}, "budget"),
        ({"limits": [{"metric": "latency_ms"}]}, "expected exactly one"),
        ({"limits": [{"metric": "latency_ms", "above": 1, "below": 2}]}, "expected exactly one"),
        ({"limits": [{"metric": "mood", "above": 1}]}, "metric"),
        ({"refusals": ["no"]}, "refusals"),
        ({"profiles": {"window_size": 5}}, "window_size"),
        ({"profiles": {"false_warning_rate": 0.0001}}, "false_warning_rate"),
        ({"on_release": "sometimes"}, "on_release"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Drift.model_validate(given)


def test_a_limit_is_named_by_what_it_says() -> None:
    assert [Limit(metric="latency_ms", above=2000.0).name, Limit(metric="completion_chars", below=0.5).name] == [
        "limit:latency_ms>2000",
        "limit:completion_chars<0.5",
    ]
