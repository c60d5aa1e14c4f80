"""What error each look at the same evidence may spend, so that all looks together spend no more than one."""


def look_alpha(alpha: float, look: int) -> float:
    """Return the one-sided error of a look: alpha / (look (look + 1)), which sums to `alpha` over any number of looks.

    *Error.* By the union bound the chance that any look of a family passes a candidate which does not meet the policy is at most `alpha`, whatever
    the looks have in common: the same items, more of them, the same candidate or others. No number of looks has to be fixed beforehand, and none is
    the last.

    *Candidates that follow from earlier verdicts.* While nothing passes, who trains learns little more than "not yet", so the next candidate is
    chosen along one path and the union bound holds for it too (Renggli et al. 2019, "Continuous integration of machine learning models with
    ease.ml/ci", MLSys). Whoever tunes a model on the calibration scores themselves leaves this assumption: then the set has to be
    renewed.

    *Why not a confidence sequence.* It would be valid at every n without counting, for one candidate whose items come in one order. Here candidates
    change and items leave the set, so looks must be counted anyhow; and the one-sided normal mixture boundary (Robbins 1970, Annals of
    Mathematical Statistics 41:1397-1409) asks for 2.77 standard errors at an error of 0.05, even when it is tuned to the very n, where the first
    four looks here ask for 1.96, 2.39, 2.64 and 2.81. A group sequential boundary (Lan and DeMets 1983, Biometrika 70:659-663) would gain from the
    dependence of looks, but has to know it.

    Args:
        alpha: Error of the whole family, (0, 0.5).
        look: Number of the look, >= 1.

    >>> [round(look_alpha(0.05, look), 5) for look in (1, 2, 3, 20)]
    [0.025, 0.00833, 0.00417, 0.00012]
    >>> sum(look_alpha(0.05, look) for look in range(1, 10_000)) < 0.05
    True
    """
    if look < 1:
        raise ValueError(f"look is {look}; expected the number of a look, counted from 1")
    return alpha / (look * (look + 1))
