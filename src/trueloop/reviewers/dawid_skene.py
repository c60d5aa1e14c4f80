"""Dawid and Skene's model of reviewers: what is true of each item, and which errors each reviewer makes, by EM."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trueloop.estimates.estimate import Undefined
from trueloop.estimates.frame import Column, aligned, rating_columns
from trueloop.reviewers.expectation_maximisation import CodedLabels, Fit, Ints

Row = tuple[Any, Any, Any]
Names = tuple[Any, ...]
Code = tuple[int, int, int]
"""Item, reviewer and value of a label, by their places."""
Pattern = tuple[int, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """A fitted model. `None` and no entries where there was nothing to fit.

    Attributes:
        categories: The values that an item can have.
        prevalence: Share of items that have each category, in their order.
        confusion: Reviewer -> rows by true category, columns by given one: how often who is shown the one says the other. A row is None when no
            item is thought to have that category (without smoothing only).
        posterior: Item -> probability of each category. Known items have 1 and 0.
        n_labels: Reviewer -> labels that were used.
        objective: After each iteration the logarithm of what is maximised: the likelihood, times the smoothing's prior; it never falls.
        log_likelihood: Of the labels, in nats.
        converged: Whether it came to rest before the limit of iterations.
        undefined: NO_LABELS when there was nothing to fit.
    """

    categories: tuple[Any, ...] = ()
    prevalence: tuple[float, ...] = ()
    confusion: Mapping[Hashable, tuple[tuple[float, ...] | None, ...]] = field(default_factory=dict)
    posterior: Mapping[Hashable, tuple[float, ...]] = field(default_factory=dict)
    n_labels: Mapping[Hashable, int] = field(default_factory=dict)
    objective: tuple[float, ...] = ()
    log_likelihood: float | None = None
    converged: bool = True
    undefined: Undefined | None = None

    def truth(self, item: Hashable) -> Any:
        """Return the likeliest category of an item, the first of equals; None for an item without labels."""
        posterior = self.posterior.get(item)
        return None if posterior is None else self.categories[max(range(len(posterior)), key=posterior.__getitem__)]

    def accuracy(self, reviewer: Hashable) -> float | None:
        """Return how often a reviewer is right, over items as prevalent as they are; None for a reviewer without labels."""
        rows = self.confusion.get(reviewer)
        if rows is None:
            return None
        return sum(share * row[place] for place, (share, row) in enumerate(zip(self.prevalence, rows, strict=True)) if row is not None)


def dawid_skene(
    items: Any,
    reviewers: Column | None = None,
    values: Column | None = None,
    *,
    data: Any = None,
    categories: Sequence[Any] | None = None,
    known: Mapping[Any, Any] | None = None,
    smoothing: float = 1.0,
    tolerance: float = 1e-9,
    max_iterations: int = 20_000,
) -> DawidSkene:
    """Fit the model to labels with one row each, by EM, until no probability of an item moves by more than `tolerance`.

    Reviewers err independently of each other, given the truth, and in the same way on all items of a category. Labels alone cannot say which
    of two mirror images is real: when most reviewers turn everything round, it is the honest ones who look wrong. `known` items decide that.
    They keep their truth, and when there are any the fit starts from what reviewers did on them instead of from the majority.

    Args:
        items: What was labelled; or a data frame with the columns 'unit', 'rater' and 'value', when reviewers and values are not given.
        reviewers: By whom. Several labels of a reviewer on an item count each: to Dawid and Skene they are repeated observations.
        values: The category given; a row where it is missing (None, NaN) does not count.
        data: Data frame; then columns may be given by name.
        categories: The values that are possible; None takes those that were given or are known.
        known: True category of gold items. Items without labels are ignored.
        smoothing: Labels that each row of a confusion matrix starts with, >= 0, as a reviewer of `COMPETENCE` would give them; the prevalences start
            with as many. 0 is the method of 1979: then one label makes a reviewer infallible or hopeless.
        tolerance: When to stop, > 0.
        max_iterations: When to give up, >= 1.

    Raises:
        ValueError: Columns differ in length, a row with a value lacks item or reviewer, a value or known truth is no category.

    References: Dawid, A. P., Skene, A. M. (1979). Maximum likelihood estimation of observer error-rates using the EM algorithm. Applied Statistics 28,
    20-28, equations 2.3 to 2.5; smoothing as in Dempster, Laird, Rubin (1977), JRSS B 39, 1-38, section 1 (maximum of the posterior).

    >>> fit = dawid_skene(list("aabbcc"), list("xyxyxy"), [1, 1, 0, 0, 1, 0], known={"c": 1})
    >>> fit.truth("a"), fit.truth("c"), fit.accuracy("x") > fit.accuracy("y")
    (1, 1, True)
    """
    settings = _Settings(smoothing, tolerance, max_iterations)
    rows = _rows(*rating_columns(items, reviewers, values, data).values())
    return _fitted(rows, categories, known or {}, settings) if rows else DawidSkene(undefined=Undefined.NO_LABELS)


@dataclass(frozen=True, slots=True)
class _Settings:
    smoothing: float
    tolerance: float
    max_iterations: int

    def __post_init__(self) -> None:
        if not (self.smoothing >= 0 and self.tolerance > 0 and self.max_iterations >= 1):
            raise ValueError(f"given {self}; expected smoothing >= 0, tolerance > 0 and max_iterations >= 1")


def _fitted(rows: list[Row], categories: Sequence[Any] | None, known: Mapping[Any, Any], settings: _Settings) -> DawidSkene:
    item_names, reviewer_names = _ordered(item for item, _, _ in rows), _ordered(reviewer for _, reviewer, _ in rows)
    anchors = {item: known[item] for item in item_names if item in known}
    possible = _ordered([*(value for _, _, value in rows), *anchors.values()]) if categories is None else tuple(categories)
    places = [_place(possible, anchors[item], "a known truth") if item in anchors else -1 for item in item_names]
    coded = _coded(rows, item_names, reviewer_names, possible)
    pattern_of, patterns = _patterns(coded, places)
    labels = CodedLabels(*_labels_of(patterns), np.bincount(pattern_of).astype(np.float64), len(reviewer_names), len(possible))
    fit = Fit(labels, np.array([anchor for anchor, _ in patterns]), settings.smoothing)
    converged = fit.run(settings.tolerance, settings.max_iterations)
    truths = [tuple(row) for row in fit.truth.tolist()]
    return DawidSkene(
        possible,
        tuple(fit.prevalence.tolist()),
        {name: fit.rows_of(place) for place, name in enumerate(reviewer_names)},
        {name: truths[pattern] for name, pattern in zip(item_names, pattern_of, strict=True)},
        dict(zip(reviewer_names, np.bincount([reviewer for _, reviewer, _ in coded]).tolist(), strict=True)),
        tuple(fit.objective),
        fit.log_likelihood,
        converged,
    )


def _patterns(coded: list[Code], anchors: list[int]) -> tuple[list[int], list[Pattern]]:
    """Return the pattern of each item, and the patterns: known truth or -1, and who says what. There are far fewer than items where reviewers are few."""
    said: list[list[tuple[int, int]]] = [[] for _ in anchors]
    for item, reviewer, value in coded:
        said[item].append((reviewer, value))
    places: dict[Pattern, int] = {}
    pattern_of = [places.setdefault((anchor, tuple(each)), len(places)) for anchor, each in zip(anchors, said, strict=True)]
    return pattern_of, list(places)


def _labels_of(patterns: list[Pattern]) -> tuple[Ints, Ints, Ints]:
    rows = [(place, *each) for place, (_, said) in enumerate(patterns) for each in said]
    items, reviewers, values = np.array(rows, np.int64).T
    return items, reviewers, values


def _rows(items: list[Any], reviewers: list[Any], values: list[Any]) -> list[Row]:
    aligned(items=items, reviewers=reviewers, values=values)
    rows = [(row, each) for row, each in enumerate(zip(items, reviewers, values, strict=True)) if each[2] is not None]
    for row, (item, reviewer, _) in rows:
        if item is None or reviewer is None:
            raise ValueError(f"row {row} has a value, but lacks its item or reviewer; give them, or no value")
    return [each for _, each in rows]


def _ordered(names: Iterable[Any]) -> Names:
    """Return names, each once, in an order of their own: those of one type may not be comparable with another's."""
    return tuple(sorted(set(names), key=lambda name: (type(name).__name__, name if isinstance(name, int | float) else 0, repr(name))))


def _coded(rows: list[Row], items: Sequence[Any], reviewers: Sequence[Any], categories: Sequence[Any]) -> list[Code]:
    item_place, reviewer_place = ({name: place for place, name in enumerate(names)} for names in (items, reviewers))
    return sorted((item_place[item], reviewer_place[reviewer], _place(categories, value, "a value")) for item, reviewer, value in rows)


def _place(categories: Sequence[Any], value: Any, what: str) -> int:
    try:
        return categories.index(value)
    except ValueError:
        raise ValueError(f"{what} is none of the {len(categories)} categories; expected one of them") from None
