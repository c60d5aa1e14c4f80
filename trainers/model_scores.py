"""One model's answers and scores: all that can be said of it without the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from trueloop.trainers import preference_accuracy
from trueloop.trainers.answers import AnswerFile, answer
from trueloop.trainers.evaluation_material import CHECK, Material
from trueloop.trainers.evaluators import score_completions
from trueloop.trainers.job_context import JobContext
from trueloop.trainers.loaded_model import LoadedModel

from trueloop.errors import IntegrityError
from trueloop.rubrics.gate_policy import PROBE

Scores = dict[tuple[str, str], dict[str, float]]
"""(dimension, evaluator) -> item -> score."""


@dataclass(frozen=True, slots=True)
class ModelScores:
    """Answers to the held-out prompts by item, and the scores that need no judge."""

    answers: Mapping[str, str]
    scores: Scores


def model_scores(context: JobContext, checkpoint: str, uri: str, sha256: str | None, material: Material) -> ModelScores:
    """Answer and score. The weights are loaded at most once, not at all when the model has answered before, and released on return.

    Raises IntegrityError when the checkpoint is not the one that it should be, ConfigurationError when it is not in the store.
    """
    known = context.store.checkpoint(uri)
    if known.checkpoint != checkpoint:
        raise IntegrityError(f"{uri!r} is checkpoint {known.checkpoint!r}; expected {checkpoint!r}: request the job again with the URI of that checkpoint")

    @cache
    def load() -> LoadedModel:
        return LoadedModel.load(context.store.resolve(uri, sha256), context.store.root)

    scores: Scores = {(dimension.dimension, dimension.evaluator): {} for dimension in material.gate.dimensions}
    decoding = material.gate.decoding
    answers: dict[str, str] = {}
    if material.to_answer:
        answers = answer(load, AnswerFile(context.store.root, checkpoint, decoding), material.to_answer, decoding, context.alive)
    held_out = {item: text for item, text in answers.items() if item in material.prompts}
    _by_checks(scores, material, held_out)
    _by_probes(scores, material, answers)
    if material.pairs:
        odds = preference_accuracy.log_odds(load(), material.pairs, context.alive)
        for dimension, evaluator in scores:
            if evaluator == preference_accuracy.EVALUATOR:
                scores[dimension, evaluator] = preference_accuracy.accuracy(dimension, material.pairs, odds)
    return ModelScores(held_out, scores)


def _by_checks(scores: Scores, material: Material, answers: Mapping[str, str]) -> None:
    for name, check in material.checks.items():
        by_dimension = score_completions(name, check, material.prompts, answers)
        for dimension, evaluator in scores:
            if evaluator == CHECK + name:
                scores[dimension, evaluator] = by_dimension.get(dimension, {})


def _by_probes(scores: Scores, material: Material, answers: Mapping[str, str]) -> None:
    for category, probes in material.probes.items():
        found = {PROBE + name: probe.score(answers[PROBE + name]) for name, probe in probes.items() if PROBE + name in answers}
        for dimension, evaluator in scores:
            if evaluator == PROBE + category:
                scores[dimension, evaluator] = found
