"""False alarms per month over all series of an application, divided among series that come and go."""


def average_run_length(false_alarms: float, losses: float) -> float:
    """Return the average run length that every series gets, so that over all of them `false_alarms` are expected in a period at most.

    The budget is divided by loss, not by series: each loss of each series may cost 1 / A false alarms, and the detector of a series keeps to
    that over any stretch of losses (see `Detector`). The expected number over all series is then at most the number of their losses / A,
    however many there are, whenever they begin and end, and however they depend on each other: a series that comes brings its share with it, and
    one that goes takes it along. So nobody has to know which series there are; only how many losses they have together, which is a count that
    the stream keeps. If there are more than was said, false alarms grow in proportion.

    Args:
        false_alarms: How many may be expected in the period, e.g. 1 in a month, > 0.
        losses: How many losses all series together have in the period, > 0: traces x scores x (1 + slices), and rated items likewise. Taken
            from a period before, it keeps the contract if it does not grow; take the most that is expected.

    Returns:
        A, in losses; what `Contract.arl_target` is.

    Raises:
        ValueError: A number is not positive.

    >>> average_run_length(false_alarms=1.0, losses=40_000 * 2 * (1 + 3))
    320000.0
    """
    if not (false_alarms > 0.0 and losses > 0.0):
        raise ValueError(f"false_alarms is {false_alarms!r} and losses is {losses!r}; expected positive numbers")
    return losses / false_alarms
