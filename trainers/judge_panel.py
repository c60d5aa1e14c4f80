"""Scores of both models by the judges that the policy names, and how far each judge agrees with people."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from trueloop.trainers.evaluation_material import JUDGE, Material
from trueloop.trainers.job_context import JobContext
from trueloop.trainers.judged import judge_scores
from trueloop.trainers.judges import open_judge
from trueloop.trainers.people_rated import people_rated

from trueloop.datasets.chat import chat_messages
from trueloop.errors import ConfigurationError
from trueloop.judges import Judge
from trueloop.labels.judge_agreement import JudgeAgreement, judge_agreement
from trueloop.labels.rated_completions import RatedCompletion

_CANDIDATE, _BASELINE, _RATED = "c ", "b ", "r "
"""Before the keys of what a judge is asked in one go."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one judge said on one dimension: scores by item of either model, how far it agrees with people, and what it is."""

    candidate: Mapping[str, float]
    baseline: Mapping[str, float]
    agreement: JudgeAgreement
    fingerprint: str


def ask_judges(context: JobContext, material: Material, candidate: Mapping[str, str], baseline: Mapping[str, str]) -> dict[tuple[str, str], Verdicts]:
    """Return, by dimension and evaluator, what the judges say of the answers. A judge that is not in the worker's settings says nothing.

    What brought no judgement (a time-out, nonsense) is no evidence: the item is missing, and never a tie.
    """
    judges = {name: judge for name in material.named(JUDGE) if (judge := _open(context, name)) is not None}
    panel = _Panel(context, material, {_CANDIDATE: candidate, _BASELINE: baseline}, people_rated(context, material.in_force) if judges else [])
    found = {}
    for gate in material.gate.dimensions:
        judge = judges.get(gate.evaluator.removeprefix(JUDGE)) if gate.evaluator.startswith(JUDGE) else None
        if judge is not None:
            found[gate.dimension, gate.evaluator] = panel.ask(judge, gate.dimension)
    return found


def _open(context: JobContext, name: str) -> Judge | None:
    try:
        return open_judge(context.settings, name)
    except ConfigurationError as error:
        _log.warning("judge %r scores nothing: %s", name, error)
        return None


@dataclass(frozen=True, slots=True)
class _Panel:
    """What every judge is asked about: the answers of both models, and what people rated."""

    context: JobContext
    material: Material
    answers: Mapping[str, Mapping[str, str]]
    rated: list[RatedCompletion]

    def ask(self, judge: Judge, dimension: str) -> Verdicts:
        rubric = self.material.in_force.rubric
        judged = rubric.dimension(dimension)
        if judged is None:
            raise ConfigurationError(f"rubric {rubric.id!r} version {rubric.version} has no dimension {dimension!r}, which judge {judge.name!r} is to score")
        units = [unit for unit in self.rated if dimension in unit.ratings and chat_messages(unit.messages) is not None]
        asked = {prefix + item: (self.material.prompts[item], text) for prefix, by_item in self.answers.items() for item, text in by_item.items()}
        asked |= {_RATED + unit.unit_id: (chat_messages(unit.messages) or [], unit.completion) for unit in units}
        scores = judge_scores(judge, rubric, dimension, asked, models=self.context.store.root, alive=self.context.alive)
        agreement = judge_agreement(units, [scores.get(_RATED + unit.unit_id) for unit in units], dimension, judged.scale)
        return Verdicts(_of(_CANDIDATE, scores), _of(_BASELINE, scores), agreement, judge.fingerprint)


def _of(prefix: str, scores: Mapping[str, float]) -> dict[str, float]:
    return {key.removeprefix(prefix): score for key, score in scores.items() if key.startswith(prefix)}
