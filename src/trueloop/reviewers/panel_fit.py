"""Dawid and Skene's model of a panel, fitted every so many labels to the newest of them."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trueloop.reviewers.dawid_skene import DawidSkene, dawid_skene
from trueloop.reviewers.judgements import Unit
from trueloop.reviewers.shared_errors import SharedErrors, same_voice, shared_errors

FIT_EVERY = 500
"""Labels of a partition between fits: a fit to 8,000 labels takes some tenths of a second, and the posterior of each label meanwhile is up to date."""
FIRST_FITS = (50, 100, 200)
"""Labels of a partition at which fits are made before the first `FIT_EVERY`: until then everybody counts alike."""
FIT_LABELS = 2_000
"""Newest labels of a partition that are fitted: enough for the error rates of some dozens of reviewers, and they are as they are now."""
_TOLERANCE, _MOST_ITERATIONS = 1e-6, 2_000
"""A probability that moves by less decides nothing."""


class Place(NamedTuple):
    """Where a label was read."""

    partition: int
    offset: int


class Vote(NamedTuple):
    """What a reviewer says of a unit of a task, and where their label was read."""

    task_id: str
    unit: Unit
    reviewer_id: str
    value: int
    place: Place


@dataclass(frozen=True, slots=True)
class PanelFit:
    """The models of the dimensions of one rubric version, and who makes the same errors."""

    models: Mapping[str, DawidSkene] = field(default_factory=dict)
    pairs: tuple[SharedErrors, ...] = ()

    def accomplices(self, reviewer_id: str) -> tuple[str, ...]:
        """Return who makes the same errors as a reviewer, beyond chance, in alphabetical order."""
        flagged = [pair for pair in self.pairs if pair.flagged and reviewer_id in (pair.first, pair.second)]
        return tuple(sorted(str(pair.second if pair.first == reviewer_id else pair.first) for pair in flagged))


class FitWindow:
    """Which labels are fitted: from the newest boundary of each partition, `FIT_LABELS` offsets back.

    Boundaries are `FIRST_FITS` and the multiples of `FIT_EVERY`, so that fits are made at fixed places of the log, whatever else happens and however
    the stream is cut.

    >>> window = FitWindow()
    >>> window.reach(Place(0, 2600))
    >>> window.boundary, window.holds(Place(0, 2499)), window.holds(Place(0, 2500)), window.holds(Place(0, 400))
    ({0: 2500}, True, False, False)
    """

    def __init__(self) -> None:
        self.boundary: dict[int, int] = {}

    def reach(self, place: Place) -> None:
        """Take note of a label."""
        end = place.offset // FIT_EVERY * FIT_EVERY or max((early for early in FIRST_FITS if early <= place.offset), default=0)
        if end > self.boundary.get(place.partition, 0):
            self.boundary[place.partition] = end

    def holds(self, place: Place) -> bool:
        """Return whether a label is fitted."""
        return place.offset < self.boundary.get(place.partition, 0) and not self.is_over(place)

    def is_over(self, place: Place) -> bool:
        """Return whether a label is too old to be fitted, now and ever after."""
        return place.offset < self.boundary.get(place.partition, 0) - FIT_LABELS


class PanelVotes:
    """The votes under one rubric version that are fitted, or will be. The fit is a function of them and of the window, also after a restart."""

    def __init__(self, window: FitWindow) -> None:
        self._window = window
        self._votes: dict[str, frozenset[Vote]] = {}
        self._gold: dict[str, Mapping[Unit, int]] = {}
        self._fit: PanelFit | None = None
        self._fitted: dict[int, int] = {}

    def replace(self, task_id: str, votes: Iterable[Vote], gold: Mapping[Unit, int]) -> None:
        """Set what is said and known of a task; no votes take it away."""
        before, after = self._votes.get(task_id, frozenset()), frozenset(vote for vote in votes if not self._window.is_over(vote.place))
        changed = after if gold != self._gold.get(task_id, {}) else before ^ after
        if any(vote.place.offset < self._fitted.get(vote.place.partition, 0) for vote in changed):
            self._fit = None
        if after:
            self._votes[task_id], self._gold[task_id] = after, gold
        else:
            self._votes.pop(task_id, None)
            self._gold.pop(task_id, None)

    def fit(self) -> PanelFit:
        """Return the fit to the votes in the window; made anew only when window or votes have changed."""
        if self._fit is None or self._fitted != self._window.boundary:
            self._prune()
            self._fit, self._fitted = self._made(), dict(self._window.boundary)
        return self._fit

    def _prune(self) -> None:
        for task_id, votes in tuple(self._votes.items()):
            kept = frozenset(vote for vote in votes if not self._window.is_over(vote.place))
            if kept != votes:
                self.replace(task_id, kept, self._gold[task_id])

    def _made(self) -> PanelFit:
        by_dimension: dict[str, list[Vote]] = defaultdict(list)
        for votes in self._votes.values():
            for vote in votes:
                if self._window.holds(vote.place):
                    by_dimension[vote.unit[0]].append(vote)
        models = {name: self._model(votes) for name, votes in sorted(by_dimension.items())}
        every = [vote for votes in by_dimension.values() for vote in votes]
        # Accounts of one person make each other look excellent in a fit: they are searched for without one first, and then heard as one voice.
        voices = same_voice(self._pairs(every, {}))
        heard = _one_voice(every, voices)
        fitted = {name: self._model([vote for vote in heard if vote.unit[0] == name]) for name in models} if voices else models
        return PanelFit(models, self._pairs(every, fitted))

    def _pairs(self, votes: list[Vote], models: Mapping[str, DawidSkene]) -> tuple[SharedErrors, ...]:
        names = {vote.reviewer_id for vote in votes}
        found = {name: [accuracy for model in models.values() if (accuracy := model.accuracy(name)) is not None] for name in names}
        accuracies = {name: sum(each) / len(each) for name, each in found.items() if each}
        items, reviewers, values = [_item(vote) for vote in votes], [vote.reviewer_id for vote in votes], [vote.value for vote in votes]
        return shared_errors(items, reviewers, values, self._known(votes), accuracies=accuracies)

    def _model(self, votes: list[Vote]) -> DawidSkene:
        columns = [_item(vote) for vote in votes], [vote.reviewer_id for vote in votes], [vote.value for vote in votes]
        return dawid_skene(*columns, known=self._known(votes), tolerance=_TOLERANCE, max_iterations=_MOST_ITERATIONS)

    def _known(self, votes: list[Vote]) -> dict[tuple[str, Unit], int]:
        return {_item(vote): self._gold[vote.task_id][vote.unit] for vote in votes if vote.unit in self._gold[vote.task_id]}


def _item(vote: Vote) -> tuple[str, Unit]:
    return vote.task_id, vote.unit


def _one_voice(votes: list[Vote], voices: Mapping[Hashable, float]) -> list[Vote]:
    """Return votes less those of accounts that say what another account of the item says: the first by name is heard."""
    loudest: dict[tuple[str, Unit], str] = {}
    for vote in votes:
        if vote.reviewer_id in voices:
            loudest[_item(vote)] = min(loudest.get(_item(vote), vote.reviewer_id), vote.reviewer_id)
    return [vote for vote in votes if vote.reviewer_id not in voices or loudest[_item(vote)] == vote.reviewer_id]
