"""The public statistics: complete, lazy, over columns of every kind, and the code that the workers run."""

import inspect
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from trueloop import agreement, drift, estimates, reviewers, statistics
from trueloop.agreement import summary
from trueloop.drift import Detector, update, update_batch
from trueloop.processors import drift as drift_processor
from trueloop.reviewers import panel_fit
from trueloop.rubrics.policy import Drift

N = 120
CHANCE = random.Random(3)
DATA: dict[str, list[Any]] = {
    "unit": [f"u{n // 2}" for n in range(N)],
    "rater": ["ada", "ben"] * (N // 2),
    "value": [1 + (n // 2 + (CHANCE.random() < 0.3)) % 4 for n in range(N)],
    "spans": [[(0, 4)] if CHANCE.random() < 0.7 else [(2, 6)] for _ in range(N)],
    "length": [20] * N,
    "choice": [CHANCE.randrange(2) for _ in range(N)],
    "order": [("a", "b") if CHANCE.random() < 0.5 else ("b", "a") for _ in range(N)],
    "label": [float(n % 3 > 0) if n % 2 else None for n in range(N)],
    "probability": [0.5 if n % 2 else None for n in range(N)],
    "judge": [CHANCE.random() for _ in range(N)],
    "right": [float(n % 5 > 0) for n in range(N)],
    "at": [datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(N)],
    "loss": [CHANCE.random() for _ in range(N)],
    "latency": [CHANCE.gauss(100, 10) for _ in range(N)],
}
RATED = ("unit", "rater", "value")
CALLS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "observed_agreement": (RATED, {}), "krippendorff_alpha": (RATED, {"level": "ordinal"}), "gwet_ac1": (RATED, {}), "gwet_ac2": (RATED, {}),
    "fleiss_kappa": (RATED, {}), "cohen_kappa": (RATED, {}), "span_alpha": (("unit", "rater", "spans", "length"), {}),
    "span_f1": (("unit", "rater", "spans"), {}), "position_bias": (("unit", "choice"), {}), "hajek": (("label", "probability"), {}),
    "preference_agreement": (("unit", "rater", "choice", "order"), {}), "dawid_skene": (RATED, {}), "shared_errors": (RATED, {}),
    "gold_accuracy": (("right",), {}), "reliability": (("right", "at"), {"half_life_days": 30}), "aipw": (("label", "probability", "judge"), {}),
    "prediction_powered_mean": (("label", "judge"), {}), "pearson_correlation": (("label", "judge"), {}), "calibration_curve": (("label", "judge"), {}),
    "calibration_in_the_large": (("label", "judge"), {}), "calibration_slope": (("label", "judge"), {}), "e_detector": (("loss",), {"reference_size": 40}),
    "population_stability_index": (("latency", "latency"), {}), "jensen_shannon_divergence": (("latency", "latency"), {}),
    "wasserstein_distance": (("latency", "latency"), {}), "two_sample_e_value": (("loss", "loss"), {}), "betting_confidence_sequence": (("loss",), {}),
    "shiryaev_roberts": (("loss",), {}),
}  # fmt: skip
"""The statistics over columns, with the columns that they are given."""
OTHERS = {"by_slice", "cosine_similarity", "e_benjamini_hochberg", "item_truth", "maximum_mean_discrepancy", "partial_pooling"}
"""Those over something else: estimates, e-values, votes, embeddings."""
WITH_INTERVAL = [
    "observed_agreement", "krippendorff_alpha", "gwet_ac1", "gwet_ac2", "fleiss_kappa", "cohen_kappa", "span_alpha", "span_f1", "position_bias", "hajek",
    "aipw", "prediction_powered_mean", "pearson_correlation", "calibration_slope", "gold_accuracy", "reliability", "betting_confidence_sequence",
]  # fmt: skip
KINDS: dict[str, Callable[[list[Any]], Any]] = {
    "iterator": iter,
    "array": lambda column: pd.Series(column).to_numpy(),
    "series": pd.Series,
    "arrow": lambda column: pa.array(column) if not isinstance(column[0], list | tuple) else column,
}


def test_the_list_is_complete_and_every_statistic_is_described() -> None:
    assert set(statistics.__all__) == CALLS.keys() | OTHERS == set(dir(statistics))
    rooms = (agreement, drift, estimates, reviewers)
    for name in statistics.__all__:
        function = getattr(statistics, name)
        assert [getattr(room, name) for room in rooms if hasattr(room, name)] == [function]
        assert f"`{name}`" in (statistics.__doc__ or "")
        assert ">>>" in (function.__doc__ or ""), f"{name} shows no example"


def test_nothing_is_imported_before_it_is_used() -> None:
    code = (
        "import sys; from trueloop import statistics; assert 'numpy' not in sys.modules; statistics.gold_accuracy; assert 'trueloop.reviewers' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'mean'"):
        statistics.mean  # noqa: B018


@pytest.mark.parametrize("name", CALLS)
def test_columns_of_every_kind_give_the_same(name: str) -> None:
    columns, options = CALLS[name]
    function = getattr(statistics, name)
    wanted = function(*(DATA[column] for column in columns), **options)
    for kind, made in KINDS.items():
        if kind == "iterator" and name in ("two_sample_e_value", "betting_confidence_sequence", "shiryaev_roberts"):
            continue  # these take sequences, for they are looked at twice
        assert function(*(made(DATA[column]) for column in columns), **options) == wanted, kind
    if "data" in inspect.signature(function).parameters:
        assert function(*columns, data=pd.DataFrame(DATA), **options) == wanted
        assert function(*columns, data=DATA, **options) == wanted


@pytest.mark.parametrize("name", ["observed_agreement", "krippendorff_alpha", "gwet_ac1", "gwet_ac2", "fleiss_kappa", "cohen_kappa", "dawid_skene"])
def test_a_frame_of_ratings_is_enough(name: str) -> None:
    function = getattr(statistics, name)
    assert function(pd.DataFrame(DATA)) == function(DATA["unit"], DATA["rater"], DATA["value"])


@pytest.mark.parametrize("name", WITH_INTERVAL)
def test_value_n_and_interval_are_called_that(name: str) -> None:
    columns, options = CALLS[name]
    found = getattr(statistics, name)(*(DATA[column] for column in columns), **options)
    low, high = found.interval
    assert low < found.value < high
    assert found.n > 0


def test_embeddings_are_matrices_or_frames() -> None:
    rows = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    for function in (statistics.maximum_mean_discrepancy, statistics.cosine_similarity):
        wanted = function(rows[:30], rows[30:])
        assert wanted == function(pd.DataFrame(rows[:30]), pd.DataFrame(rows[30:]))
        assert (wanted.n_reference, wanted.n_current) == (30, 30)
        with pytest.raises(ValueError, match=r"expected \(n, dimensions\)"):
            function(rows[0], rows[1])


def test_the_detector_of_a_column_is_that_of_the_stream() -> None:
    losses = [float(CHANCE.random() < (0.1 if n < 300 else 0.6)) for n in range(500)]
    config, state, alarms = Drift(reference_size=100), Detector(), []
    for number, loss in enumerate(losses, 1):
        before, state = state, update(state, loss, None, config)
        alarms += [number] if state.state.value == "ALARM" != before.state.value else []
    found = statistics.e_detector(losses, reference_size=100)
    assert (found.value, found.state, found.n, found.alarms) == (state.evidence.log_e, state.state, state.current.n, tuple(alarms))
    assert len(alarms) == 1
    gaps: list[float | None] = [loss if n % 7 else None for n, loss in enumerate(losses)]
    with_gaps = statistics.e_detector(gaps, reference_size=100)
    assert with_gaps.missing == gaps.count(None)
    assert with_gaps.n == statistics.e_detector([loss for loss in gaps if loss is not None], reference_size=100).n


def test_the_workers_call_the_same_functions() -> None:
    for name in ("krippendorff_alpha", "gwet_ac1", "gwet_ac2", "fleiss_kappa", "observed_agreement", "span_f1"):
        assert getattr(summary, name) is getattr(statistics, name)
    assert panel_fit.dawid_skene is statistics.dawid_skene
    assert drift_processor.update_batch is update_batch
