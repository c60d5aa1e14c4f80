"""How good a reward model is on held-out pairs: accuracy and calibration, over all, by dimension and by slice; and what a person should look at."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_BINS = 5
_AUDITED = 20


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A pair whose completions a reward model scored.

    `chosen` is the score of the completion that the reviewers prefer under the objective; `turned` says that the pair as it was published has it
    as the rejected one. `outcomes`: dimension to 1 when they prefer it there too, -1, or 0.
    """

    pair_id: str
    chosen: float
    rejected: float
    outcomes: Mapping[str, int]
    slices: Mapping[str, str]
    turned: bool = False

    def scores(self) -> tuple[tuple[str, float], tuple[str, float]]:
        """Return the scores by the sides of the pair as it was published."""
        first, second = ("rejected", "chosen") if self.turned else ("chosen", "rejected")
        return (first, self.chosen), (second, self.rejected)


@dataclass(frozen=True, slots=True)
class Quality:
    """Of `n` pairs. `accuracy`: share ordered as the reviewers did, an equal score counting half. `brier`: mean of (1 - p)^2, p being what the
    model gives the reviewers' order. `ece`: mean distance between the confidence max(p, 1 - p) and the accuracy at it, over five bins; with few pairs
    it is too high (Guo et al. 2017, arXiv:1706.04599, equation 3). `bins`: (pairs, mean confidence, accuracy) of each bin that has pairs.
    """

    n: int
    accuracy: float
    brier: float
    ece: float
    bins: tuple[tuple[int, float, float], ...]


def quality(differences: Sequence[float]) -> Quality | None:
    """Return the quality, given for each pair the score of the completion that the reviewers prefer minus that of the other; None without pairs.

    >>> quality([2.0, -1.0, 0.0]).accuracy
    0.5
    >>> quality([]) is None
    True
    """
    if not differences:
        return None
    given = [_logistic(difference) for difference in differences]
    hits = [0.5 if difference == 0 else float(difference > 0) for difference in differences]
    confidences = [max(p, 1 - p) for p in given]
    bins = []
    for number in range(_BINS):
        inside = [i for i, confidence in enumerate(confidences) if min(_BINS - 1, int((confidence - 0.5) * 2 * _BINS)) == number]
        if inside:
            bins.append((len(inside), sum(confidences[i] for i in inside) / len(inside), sum(hits[i] for i in inside) / len(inside)))
    n = len(differences)
    return Quality(
        n=n,
        accuracy=sum(hits) / n,
        brier=sum((1 - p) ** 2 for p in given) / n,
        ece=sum(count * abs(confidence - accuracy) for count, confidence, accuracy in bins) / n,
        bins=tuple(bins),
    )


def quality_by_group(pairs: Sequence[ScoredPair]) -> dict[str, Quality]:
    """Return the quality over 'all' pairs, for each 'dimension:NAME' where the reviewers saw a difference, and for each 'slice:NAME=VALUE'."""
    groups: dict[str, list[float]] = {}
    for pair in pairs:
        difference = pair.chosen - pair.rejected
        groups.setdefault("all", []).append(difference)
        for dimension, outcome in sorted(pair.outcomes.items()):
            if outcome:
                groups.setdefault(f"dimension:{dimension}", []).append(outcome * difference)
        for name, value in sorted(pair.slices.items()):
            groups.setdefault(f"slice:{name}={value}", []).append(difference)
    return {name: found for name, differences in groups.items() if (found := quality(differences)) is not None}


def metrics_of(groups: Mapping[str, Quality]) -> dict[str, float]:
    """Return the numbers for the report: accuracy, Brier score, calibration error and n over all, and accuracy and n of each dimension."""
    told: dict[str, float] = {}
    for name, found in groups.items():
        if name == "all":
            told |= {"accuracy": found.accuracy, "brier": found.brier, "ece": found.ece, "pairs_held_out": float(found.n)}
        elif name.startswith("dimension:"):
            told |= {f"accuracy/{name}": found.accuracy, f"pairs_held_out/{name}": float(found.n)}
    return told


def audit_packet(objective: str, pairs: Sequence[ScoredPair]) -> dict[str, Any]:
    """Return what a person should read before the model is used: the completions that it scores highest and lowest, by pair id and side.

    Texts are not copied: the pair ids lead to them in `preference-pairs`.
    """
    scored = sorted((value, pair.pair_id, side) for pair in pairs for side, value in pair.scores())
    told = [{"pair_id": pair_id, "side": side, "score": score} for score, pair_id, side in scored]
    return {
        "objective": objective,
        "lowest": told[:_AUDITED],
        "highest": told[::-1][:_AUDITED],
        "quality": {name: asdict(found) for name, found in quality_by_group(pairs).items()},
    }


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, value))))
