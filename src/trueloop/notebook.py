"""What the loop has estimated, as data frames for a notebook: every number with its bounds, its n, or the reason why it is missing.

    from trueloop import notebook
    notebook.agreement(application="billing-support", statistic="alpha")
    notebook.agreement(application="billing-support", over_time=True)

Each function asks ClickHouse by the settings of this process, as `trueloop sql` does, and reads views only. Frames are tidy, one row per number:
`statistic`, `value`, `low`, `high`, `n`, `reason`, after columns that say of what. Without evidence `value` is missing (NaN) and `reason` says why;
it is never 0. Bounds are those of 95 % intervals, two-sided but for gates. `trueloop.statistics` computes the same from ratings of your own.

Needs pandas, which is not installed with the workers: `pip install 'trueloop[notebook]'`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trueloop.config import Settings, load_settings
from trueloop.errors import ConfigurationError
from trueloop.report.reading import Reader
from trueloop.report.scope import Scope, parse_since

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = (
    "value",
    "low",
    "high",
    "least",
    "threshold",
    "limit_low",
    "limit_high",
    "false_warning_rate",
    "reference_mean",
    "current_mean",
    "arl_target",
    "confidence",
)
_COUNTS = ("n", "n_labels", "n_tasks", "n_reference", "n_judged", "n_clusters", "labels_needed")
_MEASURE = ("statistic", "value", "low", "high", "n", "reason")
_AGREEMENT = (
    "application",
    "dimension",
    "slice",
    "rubric_id",
    "rubric_version",
    "kind",
    "level",
    "window_start",
    "window_end",
    *_MEASURE,
    "n_labels",
    "n_tasks",
)
_REVIEWERS = ("application", "reviewer_id", "status", "dimension", *_MEASURE)
_DRIFT = (
    "application", "metric", "slice", "state", "statistic", "value", "threshold", "n", "reason", "current_mean", "n_reference", "reference_mean", "arl_target",
    "detector", "checkpoint", "occurred_at",
)  # fmt: skip
_DISTRIBUTIONS = (
    "application", "metric", "slice", "state", "statistic", "value", "limit_low", "limit_high", "n", "reason", "n_reference", "false_warning_rate",
    "checkpoint", "occurred_at",
)  # fmt: skip
_ESTIMATES = (
    "application", "dimension", "slice", "rubric_id", "rubric_version", "window_start", "window_end", *_MEASURE, "method", "fallback", "judge",
    "n_judged", "n_clusters",
)  # fmt: skip
_GATES = (
    "application", "candidate", "baseline", "decision", "dimension", "slice", "evaluator", "verdict", *_MEASURE, "least", "confidence", "labels_needed",
    "reasons", "occurred_at",
)  # fmt: skip


def agreement(
    application: str | None = None,
    *,
    dimension: str | None = None,
    slice: str | None = None,
    statistic: str | None = None,
    since: str | datetime | None = None,
    over_time: bool = False,
    settings: Settings | None = None,
) -> "pd.DataFrame":
    """Return how far reviewers agree, a row per coefficient and series.

    Args:
        application: Only this one.
        dimension: Only this one: a dimension of the rubric, 'overall' or 'preference:NAME' for preferences, 'spans:NAME' for marked spans.
        slice: Only this one: 'all' or 'name=value'.
        statistic: Only this one: 'p_o', 'alpha', 'ac1', 'ac2', 'fleiss_kappa', 'span_f1' or 'shown_first'.
        since: Windows that end after this: a time with zone, or text such as '7d' or '2026-11-01'.
        over_time: Tell the course, at most 49 stretches of time, instead of the newest window; alpha has no interval there.
        settings: Where ClickHouse is; by default this process's.

    Raises:
        ConfigurationError: pandas is not installed, or `since` says no time.
        UnavailableError: No ClickHouse answers, or the sink has not made its views yet.
    """
    reader = _reader(application, slice, since, settings)
    rows = reader.agreement_over_time() if over_time else reader.agreement()
    wanted = {"dimension": dimension, "statistic": statistic}
    return _frame((row for row in rows if all(value is None or row[key] == value for key, value in wanted.items())), _AGREEMENT)


def reviewers(application: str | None = None, *, since: str | datetime | None = None, settings: Settings | None = None) -> "pd.DataFrame":
    """Return how often each reviewer is right: 'gold_accuracy', and per dimension 'reliability' and 'dawid_skene_accuracy'. Else as `agreement`."""
    return _frame(_reader(application, None, since, settings).reviewers(), _REVIEWERS)


def drift(
    application: str | None = None,
    *,
    slice: str | None = None,
    since: str | datetime | None = None,
    over_time: bool = False,
    settings: Settings | None = None,
) -> "pd.DataFrame":
    """Return where the detector of each series stands, or, over time, its newest 48 words. Else as `agreement`.

    `value` is the logarithm of the e-detector and `threshold` where it alarms. Its error is no interval but a contract: at least `arl_target` losses
    between false alarms.
    """
    reader = _reader(application, slice, since, settings)
    return _frame(reader.drift_over_time() if over_time else reader.drift(), _DRIFT)


def distributions(
    application: str | None = None, *, slice: str | None = None, since: str | datetime | None = None, settings: Settings | None = None
) -> "pd.DataFrame":
    """Return how latency, lengths and embeddings differ from their reference. `value` warns beyond its limits. Else as `agreement`."""
    return _frame(_reader(application, slice, since, settings).distributions(), _DISTRIBUTIONS)


def estimates(
    application: str | None = None, *, slice: str | None = None, since: str | datetime | None = None, settings: Settings | None = None
) -> "pd.DataFrame":
    """Return how good what is served is: 'quality', and beside it 'hajek' (labels only), 'aipw', and of the judge 'correlation', 'severity', 'slope'.

    Else as `agreement`.
    """
    return _frame(_reader(application, slice, since, settings).estimates(), _ESTIMATES)


def gates(
    application: str | None = None,
    *,
    slice: str | None = None,
    since: str | datetime | None = None,
    settings: Settings | None = None,
) -> "pd.DataFrame":
    """Return what each gate stands on: 'candidate', the score, and 'difference' to what served. Else as `agreement`.

    Bounds are one-sided, at `confidence`; `least` is what they are held against, the floor or the largest regression that is allowed.
    """
    return _frame(_reader(application, slice, since, settings).gates(), _GATES)


def sql(query: str, parameters: Mapping[str, Any] | None = None, *, settings: Settings | None = None) -> "pd.DataFrame":
    """Return the answer to a SELECT; `parameters` stand in it as `{name:Type}`. Raises ClickHouseError when ClickHouse refuses it."""
    from trueloop.adapters.clickhouse.client import query as ask

    answer = ask(settings or load_settings(), query, parameters)
    return _pandas().DataFrame.from_records(list(answer.rows), columns=list(answer.columns))


def _reader(application: str | None, slice_name: str | None, since: str | datetime | None, settings: Settings | None) -> Reader:
    moment = parse_since(since, datetime.now(UTC)) if isinstance(since, str) else since
    return Reader(settings or load_settings(), Scope(application, slice_name, moment))


def _frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> "pd.DataFrame":
    """Return rows as a data frame whose columns have the same types whether or not there is anything in them."""
    frame = _pandas().DataFrame.from_records(list(rows), columns=list(columns))
    kinds: dict[Any, Any] = {name: "float64" for name in _NUMBERS if name in frame} | {name: "Int64" for name in _COUNTS if name in frame}
    return frame.astype(kinds)


def _pandas() -> Any:
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise ConfigurationError("trueloop.notebook needs pandas, which is not installed; run: pip install 'trueloop[notebook]'") from None
    return pd
