"""The detector of the stream over a column of losses."""

from dataclasses import dataclass
from typing import Any

from trueloop.drift.comparison import Undefined
from trueloop.drift.detector import Detector, null_mean, threshold, update_batch
from trueloop.estimates.frame import Column, aligned, cells, numbers
from trueloop.events.drift import DriftState
from trueloop.rubrics.policy import Drift


@dataclass(frozen=True, slots=True)
class Detection:
    """Where a detector stands after a column of losses. Its error is not an interval but a contract: `arl_target`.

    Attributes:
        value: Natural logarithm of the e-detector since it last started; None before the reference is full, and right after a start.
        threshold: The value at which it alarms, likewise a logarithm.
        state: NO_DATA, OK, WARNING or ALARM.
        n: Losses since it last started.
        mean: Their mean, [0, 1]; None without any.
        n_reference: Losses in the reference; while there is none, those that it has so far.
        reference_mean: Their mean, [0, 1]; None without a reference.
        null_mean: The largest mean loss that is no drift: a bound of the reference, plus the tolerance. None without a reference.
        alarms: At which losses it alarmed, from 1, those that are over included.
        missing: Losses that were None or NaN; they are left out.
        arl_target: Least expected number of losses between false alarms, as it was asked for.
        undefined: Why `value` is None; None when it is there.
    """

    value: float | None
    threshold: float
    state: DriftState
    n: int
    mean: float | None
    n_reference: int
    reference_mean: float | None
    null_mean: float | None
    alarms: tuple[int, ...]
    missing: int
    arl_target: float
    undefined: Undefined | None = None


def e_detector(
    losses: Column,
    checkpoints: Column | None = None,
    *,
    data: Any = None,
    reference_size: int = 500,
    arl_target: float = 10_000.0,
    tolerance: float = 0.02,
) -> Detection:
    """Return whether the mean of losses has risen above that of the first ones, by the detector that runs on the stream.

    What is promised, and when an alarm ends, stands at `Detector`.

    Args:
        losses: In [0, 1], in their order; None and NaN are left out.
        checkpoints: What answered each; None where it is unknown. A checkpoint that is new ends an alarm.
        data: A data frame, when columns are given by their names.
        reference_size: Losses in the reference, >= 20.
        arl_target: Least expected number of losses between false alarms, >= 100.
        tolerance: Rise of the mean that is not worth an alarm, [0, 1].

    Raises:
        ValueError: Columns differ in length, or a number is off its scale.

    References: Shin, J., Ramdas, A., Rinaldo, A. (2023). E-detectors: a nonparametric framework for sequential change detection. New England
    Journal of Statistics in Data Science; arXiv 2203.03532.

    >>> found = e_detector([0.0, 0.0, 0.0, 1.0] * 60 + [1.0] * 60, reference_size=200)
    >>> found.state.value, found.alarms, found.reference_mean
    ('ALARM', (253,), 0.25)
    """
    config = Drift(reference_size=reference_size, arl_target=arl_target, tolerance=tolerance)
    column = numbers(losses, data, name="losses")
    served = [None] * len(column) if checkpoints is None else cells(checkpoints, data)
    aligned(losses=column, checkpoints=served)
    state, alarms = Detector(), []
    for row, (loss, checkpoint) in enumerate(zip(column, served, strict=True), 1):
        if loss is not None:
            before = state.state
            state, _ = update_batch(state, [loss], None if checkpoint is None else str(checkpoint), config)
            if state.state is DriftState.ALARM and before is not DriftState.ALARM:
                alarms.append(row)
    return _detection(state, config, tuple(alarms), column.count(None))


def _detection(state: Detector, config: Drift, alarms: tuple[int, ...], missing: int) -> Detection:
    known, value = state.reference, state.evidence.log_e
    undefined = None if value is not None else Undefined.NO_REFERENCE if known is None else Undefined.NO_CURRENT
    return Detection(
        value,
        threshold(config),
        state.state,
        state.current.n,
        state.current.mean,
        state.block.n if known is None else known.n,
        None if known is None else known.mean,
        None if known is None else null_mean(known, config),
        alarms,
        missing,
        config.arl_target,
        undefined,
    )
