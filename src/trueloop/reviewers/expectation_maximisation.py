"""Expectation and maximisation for Dawid and Skene's model, on numbers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
COMPETENCE = 0.7
"""How often a reviewer of whom nothing is known is thought to be right: the smoothing leans there, so that silence is no error."""


@dataclass(frozen=True, slots=True)
class CodedLabels:
    """Labels as numbers, in an order that does not depend on the order in which they came."""

    items: Ints
    reviewers: Ints
    values: Ints
    n_items: int
    n_reviewers: int
    n_categories: int

    def counts(self, truth: Doubles) -> Doubles:
        """Return, by reviewer, true and given category, the expected number of labels."""
        size = self.n_reviewers * self.n_categories
        cell = self.reviewers * self.n_categories + self.values
        by_class: list[Doubles] = [
            np.bincount(cell, truth[self.items, j], size).reshape(self.n_reviewers, self.n_categories).astype(np.float64) for j in range(self.n_categories)
        ]
        return np.stack(by_class, axis=1)

    def log_joint(self, prevalence: Doubles, confusion: Doubles) -> Doubles:
        """Return, by item and category, the logarithm of the probability of that category and the item's labels."""
        with np.errstate(divide="ignore"):
            log_confusion, log_prevalence = np.log(confusion), np.log(prevalence)
        of_label = log_confusion[self.reviewers, :, self.values]
        joint: list[Doubles] = [np.bincount(self.items, of_label[:, j], self.n_items) + log_prevalence[j] for j in range(self.n_categories)]
        return np.stack(joint, axis=1)


class Fit:
    """EM in progress."""

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
        self.truth = self._start(max(smoothing, 1.0) * _competent(k))
        self._maximise()

    def run(self, tolerance: float, max_iterations: int) -> bool:
        """Iterate; return whether it came to rest."""
        for _ in range(max_iterations):
            before = self.truth
            self._expect()
            if np.abs(self.truth - before).max() <= tolerance:
                return True
            self._maximise()
        return False

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
        of = self.truth[self._free] if self._free.any() else self.truth
        prevalence = of.sum(axis=0) + self._pseudo_prevalence
        self.prevalence = prevalence / prevalence.sum()

    def _expect(self) -> None:
        """Equation 2.5, and the logarithm of what is maximised."""
        joint = self.labels.log_joint(self.prevalence, self.confusion)
        highest = joint.max(axis=1, keepdims=True)
        shares = np.exp(joint - highest)
        totals = shares.sum(axis=1, keepdims=True)
        free = float((highest + np.log(totals))[self._free].sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            given_truth = joint - np.log(self.prevalence)
            anchored = float(given_truth[self._certain > 0].sum()) if self._free.any() else float(joint[self._certain > 0].sum())
            prior = float((np.where(self._pseudo > 0, self._pseudo * np.log(self.confusion), 0.0)).sum())
            prior += float(np.where(self._pseudo_prevalence > 0, self._pseudo_prevalence * np.log(self.prevalence), 0.0).sum())
        self.log_likelihood = free + anchored
        self.objective.append(self.log_likelihood + prior)
        self.truth = np.where(self._free[:, None], shares / totals, self._certain)


def _competent(k: int) -> Doubles:
    """Return the confusion matrix of a reviewer who is right with `COMPETENCE`, all errors being alike."""
    return np.full((k, k), (1 - COMPETENCE) / (k - 1)) + np.eye(k) * (COMPETENCE - (1 - COMPETENCE) / (k - 1)) if k > 1 else np.ones((1, 1))
