"""Expectation and maximisation for Dawid and Skene's model, on numbers, in fewer steps than EM alone takes.

Items of whom the same reviewers say the same are one pattern that counts as often. EM creeps where labels say little (reviewers who guess, one label
per item), so every three steps are extrapolated: Varadhan, R., Roland, C. (2008). Simple and globally convergent methods for accelerating the
convergence of any EM algorithm. Scandinavian Journal of Statistics 35, 335-353, scheme S3, kept only where what is maximised does not fall.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
COMPETENCE = 0.7
"""How often a reviewer of whom nothing is known is thought to be right: the smoothing leans there, so that silence is no error."""
_FIRST_STEPS = 5
"""Steps of EM alone: an extrapolation from a start far off may end at another maximum."""


@dataclass(frozen=True, slots=True)
class CodedLabels:
    """Labels as numbers, in an order that does not depend on the order in which they came. `repeats` is how often each item is there, (items,)."""

    items: Ints
    reviewers: Ints
    values: Ints
    repeats: Doubles
    n_reviewers: int
    n_categories: int

    @property
    def n_items(self) -> int:
        """Number of items, each counted once."""
        return len(self.repeats)

    def counts(self, truth: Doubles) -> Doubles:
        """Return, by reviewer, true and given category, the expected number of labels."""
        size = self.n_reviewers * self.n_categories
        cell, mass = self.reviewers * self.n_categories + self.values, (truth * self.repeats[:, None])[self.items]
        by_class: list[Doubles] = [
            np.bincount(cell, mass[:, j], size).reshape(self.n_reviewers, self.n_categories).astype(np.float64) for j in range(self.n_categories)
        ]
        return np.stack(by_class, axis=1)

    def log_joint(self, prevalence: Doubles, confusion: Doubles) -> Doubles:
        """Return, by item and category, the logarithm of the probability of that category and the item's labels."""
        with np.errstate(divide="ignore"):
            log_confusion, log_prevalence = np.log(confusion), np.log(prevalence)
        of_label = log_confusion[self.reviewers, :, self.values]
        joint: list[Doubles] = [np.bincount(self.items, of_label[:, j], self.n_items) + log_prevalence[j] for j in range(self.n_categories)]
        return np.stack(joint, axis=1)


_SHORTEST = 1.01
"""Length of an extrapolation that is worth its step."""
_SHORTER, _WIDER = 2.0, 4.0
"""By how much the longest extrapolation is shortened when one went too far, and lengthened when it did not."""


class Fit:
    """EM in progress."""

    truth: Doubles
    prevalence: Doubles
    confusion: Doubles
    _counts: Doubles

    def __init__(self, labels: CodedLabels, anchors: Ints, smoothing: float) -> None:
        self.labels = labels
        self._free = anchors < 0
        k = labels.n_categories
        self._certain = np.zeros((labels.n_items, k))
        self._certain[np.flatnonzero(~self._free), anchors[~self._free]] = 1.0
        self._pseudo = smoothing * _competent(k)
        self._pseudo_prevalence = np.full(k, smoothing / k)
        self.objective: list[float] = []
        self.log_likelihood = 0.0
        self._farthest = np.inf
        self.truth = self._start(max(smoothing, 1.0) * _competent(k))
        self._maximise()

    def run(self, tolerance: float, max_iterations: int) -> bool:
        """Iterate, at most so many steps of EM, and what is extrapolated between them.

        Returns whether it came to rest: whether one step of EM moves no probability by more than `tolerance`.
        """
        steps: list[_Point] = []
        for number in range(max_iterations):
            before = self.truth
            self._expect()
            if np.abs(self.truth - before).max() <= tolerance:
                return True
            steps = [*steps[-1:], (self.prevalence, self.confusion)] if number >= _FIRST_STEPS else []
            self._maximise()
            if len(steps) == 2 and number + 1 < max_iterations:
                self._leap(steps[0], steps[1])
                steps = []
        return False

    def _leap(self, first: "_Point", second: "_Point") -> None:
        """Move on from three steps of EM in the direction that they take, unless what is maximised falls: then from the last of them, and less far
        next time."""
        kept, third = (self.truth, self._counts, self.log_likelihood), (self.prevalence, self.confusion)
        ahead = _extrapolated(first, second, third, self._farthest)
        if ahead is None:
            return
        length, (self.prevalence, self.confusion) = ahead
        self._expect()
        if self.objective[-1] >= self.objective[-2]:
            self._farthest *= _WIDER
            self._maximise()
        else:
            self._farthest = length / _SHORTER
            self.objective.pop()
            self.truth, self._counts, self.log_likelihood = kept
            self.prevalence, self.confusion = third

    def rows_of(self, reviewer: int) -> tuple[tuple[float, ...] | None, ...]:
        """Return a reviewer's confusion matrix; None in place of a row that nothing speaks of."""
        mass = (self._counts[reviewer] + self._pseudo).sum(axis=1)
        return tuple(tuple(row) if total > 0 else None for row, total in zip(self.confusion[reviewer].tolist(), mass, strict=True))

    def _start(self, pseudo: Doubles) -> Doubles:
        """With known items, what reviewers did on them tells of the others; without, the share of an item's labels (equation 3.1)."""
        k = self.labels.n_categories
        given = np.stack([np.bincount(self.labels.items, self.labels.values == j, self.labels.n_items) for j in range(k)], axis=1)
        shares: Doubles = given / given.sum(axis=1, keepdims=True)
        if not self._free.all():
            counts = self.labels.counts(self._certain) + pseudo
            joint = self.labels.log_joint(np.ones(self.labels.n_categories), counts / counts.sum(axis=2, keepdims=True))
            shares = np.exp(joint - joint.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
        return np.where(self._free[:, None], shares, self._certain)

    def _maximise(self) -> None:
        """Equations 2.3 and 2.4, with smoothing. Gold items say nothing of prevalence: someone chose them."""
        self._counts = self.labels.counts(self.truth)
        counts = self._counts + self._pseudo
        totals = counts.sum(axis=2, keepdims=True)
        self.confusion = np.where(totals > 0, counts / np.where(totals > 0, totals, 1.0), 1.0 / self.labels.n_categories)
        counted = self.labels.repeats * (self._free if self._free.any() else 1.0)
        prevalence = counted @ self.truth + self._pseudo_prevalence
        self.prevalence = prevalence / prevalence.sum()

    def _expect(self) -> None:
        """Equation 2.5, and the logarithm of what is maximised."""
        joint = self.labels.log_joint(self.prevalence, self.confusion)
        highest = joint.max(axis=1, keepdims=True)
        shares = np.exp(joint - highest)
        totals = shares.sum(axis=1, keepdims=True)
        repeats = self.labels.repeats
        free = float(repeats[self._free] @ (highest + np.log(totals))[self._free, 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            given_truth = joint - np.log(self.prevalence) if self._free.any() else joint
            anchored = float(repeats[~self._free] @ given_truth[self._certain > 0])
            prior = float((np.where(self._pseudo > 0, self._pseudo * np.log(self.confusion), 0.0)).sum())
            prior += float(np.where(self._pseudo_prevalence > 0, self._pseudo_prevalence * np.log(self.prevalence), 0.0).sum())
        self.log_likelihood = free + anchored
        self.objective.append(self.log_likelihood + prior)
        self.truth = np.where(self._free[:, None], shares / totals, self._certain)


def _competent(k: int) -> Doubles:
    """Return the confusion matrix of a reviewer who is right with `COMPETENCE`, all errors being alike."""
    return np.full((k, k), (1 - COMPETENCE) / (k - 1)) + np.eye(k) * (COMPETENCE - (1 - COMPETENCE) / (k - 1)) if k > 1 else np.ones((1, 1))


_Point = tuple[Doubles, Doubles]
"""Prevalences and confusion matrices."""


def _extrapolated(first: _Point, second: _Point, third: _Point, farthest: float) -> tuple[float, _Point] | None:
    """Return how far to go and where three steps of EM lead to, less far if that is out of what is possible; None when they lead nowhere new.

    Sums stay what they are. A length of 1 is the third step.
    """
    steps = [(b - a, (c - b) - (b - a)) for a, b, c in zip(first, second, third, strict=True)]
    speed, change = (np.sqrt(sum(float((each[place] ** 2).sum()) for each in steps)) for place in (0, 1))
    length = min(float(speed / change), farthest) if change else 0.0
    while length > _SHORTEST:
        prevalence, confusion = (a + 2 * length * r + length**2 * v for a, (r, v) in zip(first, steps, strict=True))
        # A probability that has become 0 without smoothing stays there.
        if all(bool(((ahead > 0) | ((ahead == 0) & (c == 0))).all()) for ahead, c in ((prevalence, third[0]), (confusion, third[1]))):
            return length, (prevalence, confusion)
        length = (length + 1) / 2
    return None
