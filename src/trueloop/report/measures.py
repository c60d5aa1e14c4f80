"""Rows of the views as measures, one row each: what was estimated, its bounds, the evidence behind it, and why something is missing."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from trueloop.agreement.interval import MIN_CLUSTERS
from trueloop.rubrics.gate_policy import PEOPLE

Row: TypeAlias = dict[str, Any]
Given: TypeAlias = Mapping[str, Any]

Bounded: TypeAlias = tuple[Any, Any, Any]

AGREEMENT_KEYS = ("application", "dimension", "slice", "rubric_id", "rubric_version", "kind", "level", "window_start", "window_end")
AGREEMENT_STATISTICS = ("p_o", "alpha", "ac1", "ac2", "fleiss_kappa", "span_f1", "shown_first")
WIN_RATE = "WIN_RATE"
"""Why there is no difference to the baseline: the score itself compares."""
_ONLY_FOR = {"span_f1": {"SPAN"}, "shown_first": {"PREFERENCE"}}


def measure(statistic: str, bounded: Bounded, n: int, reason: str | None) -> Row:
    """Return the columns that every measure has; `bounded` is the value with its lower and upper bound."""
    value, low, high = bounded
    return {"statistic": statistic, "value": value, "low": low, "high": high, "n": n, "reason": reason}


def agreement(row: Given) -> Iterator[Row]:
    """Yield the coefficients of a row of `v_agreement` or one of its kin; n counts units.

    >>> row = {"kind": "RATING", "level": "NOMINAL", "n_units": 0, "n_labels": 0, "n_tasks": 0, "p_o": None, "alpha": None, "undefined": "NO_PAIRABLE_UNITS"}
    >>> [(each["statistic"], each["value"], each["reason"]) for each in agreement(row)]
    [('p_o', None, 'NO_PAIRABLE_UNITS'), ('alpha', None, 'NO_PAIRABLE_UNITS')]
    """
    keys = {key: row[key] for key in AGREEMENT_KEYS if key in row} | {"n_labels": row["n_labels"], "n_tasks": row["n_tasks"]}
    for name in AGREEMENT_STATISTICS:
        if name not in row or (name == "ac2" and row["level"] == "NOMINAL") or row["kind"] not in _ONLY_FOR.get(name, {row["kind"]}):
            continue
        value, low, high = row[name], row.get(f"{name}_low"), row.get(f"{name}_high")
        n = row["n_preferences"] if name == "shown_first" else row["n_units"]
        said = {"alpha": row.get("undefined"), "ac1": row.get("ac1_undefined")}.get(name)
        yield keys | measure(name, (value, low, high), n, said or _why(value, low, n, row["n_tasks"]))


def _why(value: Any, low: Any, n: int, tasks: int) -> str | None:
    """Return why a value or its interval is missing, as `trueloop.agreement` would say it."""
    if value is None:
        return "NO_VARIATION" if n else "NO_PAIRABLE_UNITS"
    if low is not None:
        return None
    return "TOO_FEW_UNITS" if tasks < MIN_CLUSTERS else "NO_VARIATION"


def gold(row: Given) -> Row:
    """Return the accuracy on gold items of a row of `v_reviewers`; n counts items."""
    keys = {key: row[key] for key in ("application", "reviewer_id", "status")} | {"dimension": None}
    none = None if row["n_gold"] else "NO_GOLD_ITEMS"
    return keys | measure("gold_accuracy", (row["gold_accuracy"], row["gold_low"], row["gold_high"]), row["n_gold"], none)


def reliability(row: Given) -> Iterator[Row]:
    """Yield the posterior of a row of `v_reviewer_dimensions`, and what Dawid and Skene's model says; n counts judgements."""
    keys = {key: row[key] for key in ("application", "reviewer_id", "status", "dimension")}
    judged = row["n_judgements"]
    bounds = (row["posterior_mean"], row["ci_low"], row["ci_high"]) if judged else (None, None, None)  # the posterior of nothing is the prior
    yield keys | measure("reliability", bounds, judged, None if judged else "NO_JUDGEMENTS")
    known = row["em_accuracy"]
    yield keys | measure("dawid_skene_accuracy", (known, None, None), row["em_labels"], "NOT_FITTED" if known is None else "NOT_ESTIMATED")


def drift(row: Given) -> Row:
    """Return the statistic of a row of `v_drift`; n counts losses since the detector started. A contract stands for an interval."""
    keys = ("application", "metric", "slice", "detector", "state", "threshold", "arl_target", "n_reference", "reference_mean", "current_mean", "checkpoint")
    no_value = None if row["log_e_value"] is not None else "NO_REFERENCE" if row["state"] == "NO_DATA" else "NO_CURRENT"
    found = {key: row[key] for key in keys} | {"occurred_at": row["occurred_at"]}
    return found | {"statistic": "log_e_value", "value": row["log_e_value"], "n": row["n_current"], "reason": no_value}


def distribution(row: Given) -> Row:
    """Return the statistic of a distribution of a row of `v_drift`; n counts the traces of its last full window. Bands stand for an interval."""
    keys = ("application", "metric", "slice", "detector", "state", "limit_low", "limit_high", "n_reference", "false_warning_rate", "checkpoint", "occurred_at")
    no_value = None if row["value"] is not None else row["undefined"] or "NO_REFERENCE"
    return {key: row[key] for key in keys} | {"statistic": row["detector"], "value": row["value"], "n": row["n_current"], "reason": no_value}


ESTIMATED = ("hajek", "aipw", "correlation", "severity", "slope")


def quality(row: Given) -> Iterator[Row]:
    """Yield the numbers of a row of `v_estimates`: the quality itself, and what there is beside it; n counts labelled traces."""
    keys = ("application", "dimension", "slice", "rubric_id", "rubric_version", "method", "fallback", "judge", "n_judged", "n_clusters", "window_start")
    known = {key: row[key] for key in (*keys, "window_end")}
    yield known | measure("quality", (row["value"], row["low"], row["high"]), row["n_labelled"], row["undefined"])
    for name in ESTIMATED:
        if row[name] is not None:
            reason = None if row[f"{name}_low"] is not None else row["undefined"] or "TOO_FEW"
            yield known | measure(name, (row[name], row[f"{name}_low"], row[f"{name}_high"]), row["n_labelled"], reason)


def gate(row: Given) -> Iterator[Row]:
    """Yield the candidate's score and its difference to the baseline of a row of `v_gates`, with one-sided bounds; n counts paired items.

    Of people the score is a win rate: they compare, so there is no score of the baseline, and no difference.
    """
    keys = {
        key: row[key]
        for key in ("application", "candidate", "baseline", "decision", "dimension", "slice", "evaluator", "verdict", "confidence", "labels_needed")
    }
    keys |= {"reasons": ", ".join(row["reasons"] or row["decision_reasons"]), "occurred_at": row["occurred_at"]}
    bounds = {"candidate": row["floor"], "difference": None if row["max_regression"] is None else -row["max_regression"]}
    if row["evaluator"] == PEOPLE:
        bounds["difference"] = None
    for name, least in bounds.items():
        value = row["candidate_mean" if name == "candidate" else name]
        reason = None if value is not None else ", ".join(row["reasons"]) or "NO_EVIDENCE"
        if row["evaluator"] == PEOPLE and name == "difference":
            reason = WIN_RATE
        yield keys | {"least": least} | measure(name, (value, row[f"{name}_low"], row[f"{name}_high"]), row["n"], reason)
