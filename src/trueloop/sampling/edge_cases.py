"""Traces that are out of the ordinary, and the stratum that a trace is sampled in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from trueloop.rubrics.policy import Stratum

APPEAL, ANOMALY, ALL = "appeal", "anomaly", "all"
"""Names of the strata of appeals, of edge cases and anomalies, and of everything else. They are no slices: those are called 'name=value'."""


class EdgeCase(StrEnum):
    """What is out of the ordinary."""

    OPEN_ALARM = "OPEN_ALARM"
    """A drift alarm is open for one of its slices."""
    EMPTY_ANSWER = "EMPTY_ANSWER"
    """The answer has no token, though the request did not fail."""
    SLOW = "SLOW"
    LONG_PROMPT = "LONG_PROMPT"
    LONG_ANSWER = "LONG_ANSWER"
    LOW_SCORE = "LOW_SCORE"
    RARE_SLICE = "RARE_SLICE"
    """A value that its slice seldom has, or never had."""


@dataclass(frozen=True, slots=True)
class Ordinary:
    """What is ordinary. None does not look.

    Attributes:
        latency_ms: Longest time to the full answer, milliseconds.
        prompt_tokens: Longest prompt.
        completion_tokens: Longest answer.
        scores: Score name -> least score, [0, 1].
        common: Slice name -> values that are common; a slice that is not named is not looked at.
        alarms: Slices ('name=value', or 'all') with an open alarm.
    """

    latency_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    common: Mapping[str, Collection[str]] = field(default_factory=dict)
    alarms: Collection[str] = ()


def edge_cases(
    ordinary: Ordinary,
    *,
    latency_ms: float | None = None,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    scores: Mapping[str, float] | None = None,
    slices: Mapping[str, str] | None = None,
) -> tuple[EdgeCase, ...]:
    """Return what is out of the ordinary about a trace, in the order of the enum. What was not measured is no edge case; neither is NaN.

    >>> edge_cases(Ordinary(latency_ms=2000, scores={"judge": 0.3}), latency_ms=2500.0, scores={"judge": 0.1})
    (<EdgeCase.SLOW: 'SLOW'>, <EdgeCase.LOW_SCORE: 'LOW_SCORE'>)
    """
    named = slices or {}
    found = {
        EdgeCase.OPEN_ALARM: ALL in ordinary.alarms or any(f"{name}={value}" in ordinary.alarms for name, value in named.items()),
        EdgeCase.EMPTY_ANSWER: completion_tokens == 0,
        EdgeCase.SLOW: _above(latency_ms, ordinary.latency_ms),
        EdgeCase.LONG_PROMPT: _above(prompt_tokens, ordinary.prompt_tokens),
        EdgeCase.LONG_ANSWER: _above(completion_tokens, ordinary.completion_tokens),
        EdgeCase.LOW_SCORE: any(_above(least, (scores or {}).get(name)) for name, least in ordinary.scores.items()),
        EdgeCase.RARE_SLICE: any(name in named and named[name] not in values for name, values in ordinary.common.items()),
    }
    return tuple(case for case, true in found.items() if true)


def common_values(counts: Mapping[str, int], least_share: float) -> frozenset[str]:
    """Return the values of a slice that have at least this share of its traces, by value -> traces of an earlier period.

    >>> sorted(common_values({"de": 60, "fr": 39, "mt": 1}, 0.05))
    ['de', 'fr']
    """
    total = sum(counts.values())
    return frozenset(value for value, count in counts.items() if count >= least_share * total > 0)


def stratum_of(slices: Mapping[str, str], strata: Sequence[Stratum], *, appealed: bool = False, found: Sequence[EdgeCase] = ()) -> str:
    """Return the stratum that a trace is sampled in: the first that holds of appeal, anomaly, the policy's slices in their order, and all the rest.

    Every trace is in one stratum exactly, so a rate and a probability belong to it. Appeals have one of their own because users chose them:
    they are re-reviewed, and never enter a population estimate.

    >>> stratum_of({"locale": "de"}, (Stratum(slice="locale", value="de", rate=0.5),)), stratum_of({}, (), appealed=True)
    ('locale=de', 'appeal')
    """
    if appealed:
        return APPEAL
    if found:
        return ANOMALY
    return next((stratum.name for stratum in strata if slices.get(stratum.slice) == stratum.value), ALL)


def _above(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit
