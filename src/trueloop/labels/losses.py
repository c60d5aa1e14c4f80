"""The bounded losses that a task's labels tell when they are complete: what a drift detector watches."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trueloop.drift.losses import disagreement
from trueloop.events import AgreementUnits, Label
from trueloop.events.agreement_units import UnitKind
from trueloop.labels.contributions import ALL
from trueloop.rubrics import Rubric


class TaskLoss(NamedTuple):
    """A loss in [0, 1]. The series is named for its metric and the rubric version, for what another version means is another series."""

    metric: str
    series: str
    loss: float


def task_losses(labels: Sequence[Label], units: Sequence[AgreementUnits], rubric: Rubric, served: str) -> Iterator[TaskLoss]:
    """Yield the losses of a task.

    Per dimension the mean loss of the completion that was served; and per dimension, and per kind of preference, how far its reviewers disagreed:
    the share of pairs of them that said different things, in the mean over what they judged. The mean of that over tasks is 1 - observed agreement,
    so its series is agreement itself, one bounded loss per task. Spans are left out: nearly all characters are marked by nobody, so that
    their disagreement is next to nothing whatever reviewers do.

    Args:
        labels: The labels that count.
        units: What they contribute to agreement.
        rubric: The rubric of the task.
        served: The candidate id of the completion that was served.
    """
    for dimension in rubric.dimensions:
        losses = [
            dimension.scale.loss(rating.value)
            for label in labels
            for rating in label.ratings
            if rating.candidate_id == served and rating.dimension == dimension.name
        ]
        if losses:
            yield _named(f"dimension:{dimension.name}", rubric, sum(losses) / len(losses))
    for contribution in units:
        if contribution.slice != ALL or contribution.kind is UnitKind.SPAN:
            continue
        shares = [share for unit in contribution.units if (share := disagreement(unit.values, unit.counts)) is not None]
        if shares:
            yield _named(f"disagreement:{contribution.dimension}", rubric, sum(shares) / len(shares))


def _named(metric: str, rubric: Rubric, loss: float) -> TaskLoss:
    return TaskLoss(metric, f"{metric}@{rubric.id}.{rubric.version}", loss)
