"""A panel of simulated reviewers, of whom half are careful and half careless, and what the product's own model of reviewers makes of their labels."""

from collections.abc import Mapping
from dataclasses import dataclass

from trueloop.events import unit_interval
from trueloop.reviewers import dawid_skene
from trueloop.reviewers.truth import fitted_truth

REVIEWERS, GOLD = 10, 40
"""Reviewers, and tasks with a known answer that each of them is given."""
PLACES = (0, 1)


@dataclass(frozen=True, slots=True)
class Panel:
    """The reviewers of a seed who are wrong in a share `noise` of their labels."""

    noise: float
    seed: int

    def reviewer_of(self, task: str) -> int:
        """Return who labels a task: one reviewer each."""
        return int(unit_interval("reviewer", str(self.seed), task) * REVIEWERS)

    def errs(self, reviewer: int, task: str) -> bool:
        """Return whether a reviewer is wrong on a task: the careful ones with 0.2, the careless ones with 1.8 times the noise."""
        return unit_interval("error", str(self.seed), str(reviewer), task) < self.noise * (0.2 if reviewer % 2 else 1.8)

    def order_probabilities(self, votes: Mapping[str, tuple[int, int]]) -> dict[str, float]:
        """Return how probable it is that each label is right, as the product tells it with a task's truth.

        Args:
            votes: Task -> reviewer and place (0 or 1) of the candidate that they prefer.
        """
        known = {f"gold-{reviewer}-{number}": _place("gold", self.seed, reviewer, number) for reviewer in range(REVIEWERS) for number in range(GOLD)}
        said = {task: (int(task.split("-")[1]), place) for task, place in known.items()}
        said = {task: (reviewer, 1 - place if self.errs(reviewer, task) else place) for task, (reviewer, place) in said.items()} | dict(votes)
        rows = [(task, f"reviewer-{reviewer}", place) for task, (reviewer, place) in said.items()]
        tasks, reviewers, places = (list(column) for column in zip(*rows, strict=True))
        model = dawid_skene(tasks, reviewers, places, known=known, tolerance=1e-6, max_iterations=2_000)
        truths = {task: fitted_truth({f"reviewer-{reviewer}": place}, model, PLACES) or {} for task, (reviewer, place) in votes.items()}
        return {task: truths[task][place] for task, (_, place) in votes.items()}


def _place(*parts: object) -> int:
    return int(unit_interval(*map(str, parts)) < 0.5)


def place_of_better(task: str, seed: int) -> int:
    """Return at which of two places a task shows its better candidate: by chance."""
    return _place("shown", seed, task)
