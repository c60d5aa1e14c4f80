"""What the last days tell of each stratum of a policy: traffic, time per label, losses and uncertainty, from ClickHouse."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from trueloop.adapters.clickhouse.client import query
from trueloop.config import Settings
from trueloop.rubrics import Policy, Rubric
from trueloop.rubrics.sampling_policy import Anomalies, EdgeCase, Sampling
from trueloop.sampling.disagreements import disagreement_in
from trueloop.sampling.inclusion import uncertainty_of
from trueloop.sampling.planning import Evidence, Moments, strata_of

SCORED = 20_000
"""Traces whose scores are looked at, about: chosen by the hash of their ids."""
LONGEST_S = 1800.0
"""A label that took longer counts as this: somebody was away."""
_DAY_S = 86_400.0
_SHORTEST_DAYS = 1 / 24

_READABLE = """
    SELECT trace_id, occurred_at, scores, slices, PLACE AS place
    FROM traces FINAL
    WHERE application = {application:String} AND occurred_at >= {since:DateTime64(6)} AND occurred_at < {until:DateTime64(6)}
      AND consent IN ('REVIEW', 'TRAINING') AND (ANSWERED)
"""
_FAILED = "(error IS NOT NULL AND ifNull(completion_tokens, 1) > 0 AND trimBoth(completion) != '')"
_TRAFFIC = "SELECT place, count() AS traces, toUnixTimestamp64Micro(min(occurred_at)) AS first FROM (READABLE) GROUP BY place"
_SCORES = "SELECT place, scores, slices FROM (READABLE) WHERE cityHash64(trace_id) % {one_in:UInt64} = 0"
_REVIEWED = """
    SELECT t.task_id AS task_id, t.weight AS weight, p.place AS place
    FROM (
        SELECT task_id, any(trace_id) AS trace_id, 1 / any(sampling_prob) AS weight
        FROM review_queue FINAL
        WHERE application = {application:String} AND NOT hasAny(reasons, ['APPEAL', 'ADJUDICATION', 'TRIAL'])
        GROUP BY task_id
    ) AS t
    INNER JOIN (SELECT trace_id, any(place) AS place FROM (READABLE) GROUP BY trace_id) AS p ON t.trace_id = p.trace_id
"""
_SECONDS = """
SELECT r.place, count() AS labels, avg(least(l.seconds_spent, {longest:Float64})) AS seconds
FROM (SELECT task_id, seconds_spent FROM v_labels WHERE application = {application:String} AND counts AND seconds_spent IS NOT NULL) AS l
INNER JOIN (REVIEWED) AS r ON l.task_id = r.task_id
GROUP BY r.place
"""
_LOSSES = """
SELECT place, dimension, count() AS n, sum(weight), sum(weight * loss), sum(weight * loss * loss)
FROM (
    SELECT l.task_id, l.rating.2 AS dimension, any(r.place) AS place, any(r.weight) AS weight,
        avg(({best:Array(Float64)}[indexOf({dimensions:Array(String)}, dimension)] - l.rating.3)
            / {width:Array(Float64)}[indexOf({dimensions:Array(String)}, dimension)]) AS loss
    FROM (
        SELECT task_id, arrayJoin(ratings) AS rating
        FROM v_labels
        WHERE application = {application:String} AND counts AND rubric_id = {rubric:String} AND rubric_version = {rubric_version:Int64}
    ) AS l
    INNER JOIN (REVIEWED) AS r ON l.task_id = r.task_id
    WHERE has({dimensions:Array(String)}, l.rating.2)
    GROUP BY l.task_id, dimension
)
GROUP BY place, dimension
"""
_DISAGREEMENTS = """
SELECT dimension, slice, argMax(disagreement, (starts_at, occurred_at))
FROM slice_disagreements FINAL
WHERE application = {application:String} AND rubric_id = {rubric:String} AND rubric_version = {rubric_version:Int64} AND starts_at <= {until:DateTime64(6)}
GROUP BY dimension, slice
"""
_RUBRIC = "SELECT document FROM rubrics FINAL WHERE rubric_id = {rubric:String} AND version = {rubric_version:Int64}"
_APPEALS = """
SELECT count() FROM review_queue FINAL
WHERE application = {application:String} AND has(reasons, 'APPEAL') AND occurred_at >= {since:DateTime64(6)} AND occurred_at < {until:DateTime64(6)}
"""


@dataclass(frozen=True, slots=True)
class PastDays:
    """What was found: the days from the first trace on, the evidence by stratum, and re-reviews of appeals a day."""

    days: float
    evidence: dict[str, Evidence]
    appeals: float


def past_days(settings: Settings, policy: Policy, until: datetime, days: float) -> PastDays:
    """Return what the `days` before `until` tell of the strata of a policy, by the strata as it has them, whatever was in force then.

    Raises UnavailableError when no ClickHouse answers, ClickHouseError when it refuses.
    """
    asked = _Questions(settings, policy, until, days)
    evidence, observed = asked.traffic()
    if not evidence:
        return PastDays(observed, {}, 0.0)
    evidence = {name: replace(each, traffic=each.traffic / observed) for name, each in evidence.items()}
    for name, labels, seconds in asked.seconds():
        evidence[name] = replace(evidence[name], labels=labels, seconds=seconds)
    for name, dimension, moments in asked.losses():
        evidence[name] = replace(evidence[name], losses={**evidence[name].losses, dimension: moments})
    for name, mean in asked.uncertainties(sum(each.traffic for each in evidence.values()) * observed):
        evidence[name] = replace(evidence[name], mean_uncertainty=mean)
    return PastDays(observed, evidence, asked.appeals() / observed)


class _Questions:
    """The questions about one policy and period."""

    def __init__(self, settings: Settings, policy: Policy, until: datetime, days: float) -> None:
        self._settings, self._policy, self._names = settings, policy, list(strata_of(policy.sampling))
        place, self._values = _place(policy.sampling)
        self._until = until
        self._values |= {
            "application": policy.application, "since": until - timedelta(days=days), "until": until, "longest": LONGEST_S,
            "rubric": policy.rubric.id, "rubric_version": policy.rubric.version,
        }  # fmt: skip
        anomalies = policy.sampling.anomalies
        answered = "error IS NULL" if anomalies is None or not anomalies.failed else f"error IS NULL OR {_FAILED}"
        readable = _READABLE.replace("PLACE", place).replace("ANSWERED", answered)
        self._parts = {"REVIEWED": _REVIEWED.replace("READABLE", readable), "READABLE": readable}

    def traffic(self) -> tuple[dict[str, Evidence], float]:
        """Return the traces of each stratum that has any, and the days since the first."""
        rows = list(self._ask(_TRAFFIC))
        first = min((row[2] for row in rows), default=0) / 1e6
        observed = max((self._until.timestamp() - first) / _DAY_S, _SHORTEST_DAYS) if rows else 0.0
        return {self._names[place]: Evidence(traffic=float(traces)) for place, traces, _ in rows}, observed

    def seconds(self) -> Iterator[tuple[str, int, float]]:
        """Yield stratum, labels and their mean time."""
        for place, labels, seconds in self._ask(_SECONDS):
            yield self._names[place], labels, seconds

    def losses(self) -> Iterator[tuple[str, str, Moments]]:
        """Yield stratum, dimension and losses; nothing when the rubric is not in the database."""
        documents = query(self._settings, _RUBRIC, self._values).rows
        if not documents:
            return
        known = Rubric.model_validate_json(documents[0][0]).dimensions
        scales = {
            "dimensions": [each.name for each in known],
            "best": [float(each.scale.max) for each in known],
            "width": [float(each.scale.max - each.scale.min) for each in known],
        }
        for place, dimension, n, weight, total, squares in self._ask(_LOSSES, **scales):
            yield self._names[place], dimension, Moments(n, weight, total, squares)

    def uncertainties(self, traces: float) -> Iterator[tuple[str, float]]:
        """Yield stratum and mean uncertainty, where the policy follows it and something is known."""
        config = self._policy.sampling.uncertainty
        if config is None:
            return
        rows = list(self._ask(_SCORES, one_in=max(1, round(traces / SCORED))))
        places = np.array([place for place, _, _ in rows], np.int64)
        names = {*config.entropy, *config.judges}
        columns = {name: np.array([scores.get(name, np.nan) for _, scores, _ in rows], np.float64) for name in names}
        known = {(dimension, slice_name): value for dimension, slice_name, value in self._ask(_DISAGREEMENTS)} if config.reviewers else {}
        reviewers = np.array([disagreement_in(slices, config.reviewers, known) for _, _, slices in rows], np.float64)
        doubts = uncertainty_of(config, columns, reviewers)
        for place in np.unique(places).tolist():
            told = doubts[(places == place) & ~np.isnan(doubts)]
            if len(told):
                yield self._names[place], float(told.mean())

    def appeals(self) -> int:
        """Return how many re-reviews of appeals were opened."""
        return int(query(self._settings, _APPEALS, self._values).rows[0][0])

    def _ask(self, question: str, **more: Any) -> tuple[tuple[Any, ...], ...]:
        sql = question
        for name, part in self._parts.items():
            sql = sql.replace(name, part)
        return query(self._settings, sql, self._values | more).rows


class _Parameters:
    """Values that a query is given apart from its text: no word of a policy stands in the query."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, value: Any, kind: str) -> str:
        """Return what stands in the query for a value of a ClickHouse type."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


def _place(sampling: Sampling) -> tuple[str, dict[str, Any]]:
    """Return the place of a trace's stratum in `strata_of` as SQL, and the values of its parameters."""
    given = _Parameters()
    anomalies = sampling.anomalies
    conditions = [] if anomalies is None else [_holds(case, anomalies, given) for case in EdgeCase if anomalies.looks_for(case)]
    for stratum in sampling.strata:
        name = given(stratum.slice, "String")
        conditions.append(f"mapContains(slices, {name}) AND slices[{name}] = {given(stratum.value, 'String')}")
    choices = ", ".join(f"({condition}), {place}" for place, condition in enumerate(conditions))
    return f"multiIf({choices}, {len(conditions)})" if conditions else "0", given.values


def _holds(case: EdgeCase, anomalies: Anomalies, given: _Parameters) -> str:
    """Return as SQL whether an edge case holds; `edge_cases` says the same of columns."""
    match case:
        case EdgeCase.FAILED:
            return _FAILED
        case EdgeCase.EMPTY_ANSWER:
            return "ifNull(completion_tokens = 0, 0)"
        case EdgeCase.LOW_SCORE:
            low = ((given(name, "String"), given(least, "Float64")) for name, least in anomalies.scores.items())
            return " OR ".join(f"(mapContains(scores, {name}) AND scores[{name}] < {least})" for name, least in low)
        case EdgeCase.RARE_SLICE:
            rare = ((given(name, "String"), given(list(common), "Array(String)")) for name, common in anomalies.common.items())
            return " OR ".join(f"(mapContains(slices, {name}) AND NOT has({common}, slices[{name}]))" for name, common in rare)
        case _:
            column = {EdgeCase.SLOW: "latency_ms", EdgeCase.LONG_PROMPT: "prompt_tokens", EdgeCase.LONG_ANSWER: "completion_tokens"}[case]
            return f"ifNull({column} > {given(getattr(anomalies, column), 'Float64')}, 0)"
