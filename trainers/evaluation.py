"""Evaluation of a candidate against its baseline on the frozen calibration set, by the evaluators and the decoding that the policy fixed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from trueloop.trainers import preference_accuracy
from trueloop.trainers.answers import AnswerFile, answer
from trueloop.trainers.calibration_snapshot import CalibrationSnapshot, take_snapshot
from trueloop.trainers.evaluators import Check, find_check, score_completions
from trueloop.trainers.job_context import JobContext
from trueloop.trainers.loaded_model import LoadedModel

from trueloop.adapters.governance_store import GovernanceStore
from trueloop.datasets.calibration import CalibrationSet
from trueloop.datasets.chat import ChatMessage, chat_messages
from trueloop.datasets.pairs_dataset import build_pairs_dataset, seen_prompts
from trueloop.errors import ConfigurationError, IntegrityError
from trueloop.events import Evaluation, Event, PairedScores, PreferencePair, Split, TrainingResult, derive_id
from trueloop.gates.scores import paired_scores
from trueloop.rubrics import InForce, canonical_json
from trueloop.rubrics.gate_policy import Gate

_CHECK = "check:"
Scores = dict[tuple[str, str], dict[str, float]]
"""(dimension, evaluator) -> item -> score."""


@dataclass(frozen=True, slots=True)
class _Material:
    """What both models are put to: prompts by item, held-out pairs, and the checks by name."""

    gate: Gate
    prompts: Mapping[str, Sequence[ChatMessage]]
    pairs: Sequence[PreferencePair]
    checks: Mapping[str, Check]
    slices: Mapping[str, Mapping[str, str]]


def evaluate(context: JobContext, result: TrainingResult) -> Iterator[Event]:
    """Yield the new version of the calibration set, if there is one, and the Evaluation.

    Raises:
        ConfigurationError: the policy is not published, or a checkpoint is not in the store.
        IntegrityError: a checkpoint is not the one it should be.
        UnavailableError: broker or registry do not answer.
    """
    started = time.monotonic()
    in_force = _in_force(context)
    snapshot = take_snapshot(context, in_force)
    if snapshot.announcement is not None:
        yield snapshot.announcement
    material = _material(context, in_force.policy.gate, snapshot.items)
    candidate = _scores(context, str(result.checkpoint), str(result.checkpoint_uri), result.checkpoint_sha256, material)
    baseline = _scores(context, context.request.baseline_checkpoint, context.request.baseline_uri, None, material)
    scores = [
        entry
        for (dimension, evaluator), ours in candidate.items()
        for entry in paired_scores(dimension, evaluator, ours, baseline[dimension, evaluator], slices_of=material.slices, slices=material.gate.slices)
    ]
    yield _evaluation(context, result, in_force, snapshot, scores=scores, seconds=time.monotonic() - started)


def _in_force(context: JobContext) -> InForce:
    request = context.request
    store = GovernanceStore(context.settings.kafka, context.codec)
    try:
        found = store.fresh(time.monotonic()).policy(request.policy_id, request.policy_version)
    finally:
        store.close()
    if found is None:
        raise ConfigurationError(f"policy {request.policy_id!r} version {request.policy_version} is not published; publish it and request the job again")
    return found


def _material(context: JobContext, gate: Gate, calibration: CalibrationSet) -> _Material:
    names = {dimension.evaluator.removeprefix(_CHECK) for dimension in gate.dimensions if dimension.evaluator.startswith(_CHECK)}
    checks = {name: check for name in sorted(names) if (check := find_check(name)) is not None}
    prompts = {item.item_id: chat_messages(item.messages) or [] for item in calibration.items} if checks else {}
    pairs: list[PreferencePair] = []
    if any(dimension.evaluator == preference_accuracy.EVALUATOR for dimension in gate.dimensions):
        trained = seen_prompts(context.pair_log)
        held_out = build_pairs_dataset(context.pair_log, context.selection(Split.CALIBRATION)).pairs
        pairs = [pair for pair in held_out if pair.prompt_hash not in trained][: gate.max_items]
    slices = {item.item_id: item.slices for item in calibration.items} | {pair.pair_id: pair.slices for pair in pairs}
    return _Material(gate, prompts, pairs, checks, slices)


def _scores(context: JobContext, checkpoint: str, uri: str, sha256: str | None, material: _Material) -> Scores:
    """Score one model. Its weights are loaded at most once, not at all when it has answered before, and released on return."""
    known = context.store.checkpoint(uri)
    if known.checkpoint != checkpoint:
        raise IntegrityError(f"{uri!r} is checkpoint {known.checkpoint!r}; expected {checkpoint!r}: request the job again with the URI of that checkpoint")

    @cache
    def load() -> LoadedModel:
        return LoadedModel.load(context.store.resolve(uri, sha256))

    scores: Scores = {(dimension.dimension, dimension.evaluator): {} for dimension in material.gate.dimensions}
    decoding = material.gate.decoding
    if material.checks and material.prompts:
        file = AnswerFile(context.store.root, checkpoint, decoding)
        completions = answer(load, file, material.prompts, decoding, context.alive)
        for name, check in material.checks.items():
            by_dimension = score_completions(name, check, material.prompts, completions)
            for dimension, evaluator in scores:
                if evaluator == _CHECK + name:
                    scores[dimension, evaluator] = by_dimension.get(dimension, {})
    if material.pairs:
        odds = preference_accuracy.log_odds(load(), material.pairs, context.alive)
        for dimension, evaluator in scores:
            if evaluator == preference_accuracy.EVALUATOR:
                scores[dimension, evaluator] = preference_accuracy.accuracy(dimension, material.pairs, odds)
    return scores


def _evaluation(
    context: JobContext, result: TrainingResult, in_force: InForce, snapshot: CalibrationSnapshot, *, scores: list[PairedScores], seconds: float
) -> Evaluation:
    request, policy, items = context.request, in_force.policy, snapshot.items
    candidate = str(result.checkpoint)
    return Evaluation(
        event_id=derive_id("evaluation", request.job_id, candidate, request.baseline_checkpoint, items.content_hash, policy.id, str(policy.version)),
        occurred_at=datetime.now(UTC),
        application=request.application,
        candidate=candidate,
        candidate_uri=str(result.checkpoint_uri),
        candidate_sha256=str(result.checkpoint_sha256),
        baseline=request.baseline_checkpoint,
        job_id=request.job_id,
        policy_id=policy.id,
        policy_version=policy.version,
        rubric_id=policy.rubric.id,
        rubric_version=policy.rubric.version,
        calibration_version=snapshot.version,
        calibration_hash=items.content_hash,
        calibration_new=items.n_new if snapshot.announcement is not None else 0,
        n_items=len(items.items),
        decoding=canonical_json(policy.gate.decoding),
        scores=scores,
        seconds=seconds,
    )
