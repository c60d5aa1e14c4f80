"""Evaluation of a candidate against its baseline on the frozen calibration set, by the evaluators and the decoding that the policy fixed."""

import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from trueloop.trainers.calibration_snapshot import CalibrationSnapshot, take_snapshot
from trueloop.trainers.evaluation_material import Material, gather
from trueloop.trainers.job_context import JobContext
from trueloop.trainers.judge_panel import Verdicts, ask_judges
from trueloop.trainers.log_events import events_of
from trueloop.trainers.model_scores import ModelScores, model_scores
from trueloop.trainers.on_trial import items_on_trial, trials
from trueloop.trainers.preference_accuracy import EVALUATOR as PREFERENCE_ACCURACY
from trueloop.trainers.reward_diagnosis import diagnose_reward

from trueloop.errors import ConfigurationError
from trueloop.events import Evaluation, EvaluatorEvidence, Event, ItemOnTrial, PairedScores, TrainingResult, derive_id
from trueloop.gates.asking import is_blocked_anyway, looks_taken
from trueloop.gates.diagnostics import diagnose, warnings
from trueloop.gates.probes import probes_hash
from trueloop.gates.scores import paired_scores
from trueloop.labels.judge_agreement import JudgeAgreement
from trueloop.rubrics import InForce, canonical_json
from trueloop.rubrics.gate_policy import PEOPLE, PROBE
from trueloop.topics import GATES

_log = logging.getLogger(__name__)


def evaluate(context: JobContext, result: TrainingResult) -> Iterator[Event]:
    """Yield the new version of the calibration set, if there is one, what people are to compare, if the policy asks them, and the Evaluation.

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
    material = gather(context, in_force, snapshot.items)
    candidate = model_scores(context, str(result.checkpoint), str(result.checkpoint_uri), result.checkpoint_sha256, material)
    baseline = model_scores(context, context.request.baseline_checkpoint, context.request.baseline_uri, None, material)
    judged = ask_judges(context, material, candidate.answers, baseline.answers)
    for unit, verdicts in judged.items():
        candidate.scores[unit], baseline.scores[unit] = dict(verdicts.candidate), dict(verdicts.baseline)
    diagnostics = [*diagnose(candidate.answers, baseline.answers), *diagnose_reward(context, material, candidate.answers, baseline.answers)]
    evaluation_id, gate = _evaluation_id(context, result, in_force, snapshot), material.gate
    scores, evaluators = _found(material, candidate, baseline, judged)
    found = {"event_id": evaluation_id, "scores": scores, "evaluators": evaluators, "diagnostics": diagnostics, "warnings": warnings(diagnostics, scores)}
    evaluation = _evaluation(context, result, in_force, snapshot, found | {"seconds": time.monotonic() - started})
    if gate.asks_people:
        chosen = items_on_trial(evaluation_id, gate.people.comparisons, candidate.answers, baseline.answers)
        evaluation = _with_people(context, in_force, evaluation, chosen)
        yield from trials(evaluation_id, in_force.policy, evaluation.trials, snapshot.items.items, (candidate.answers, baseline.answers))
    yield evaluation


def _with_people(context: JobContext, in_force: InForce, evaluation: Evaluation, chosen: list[ItemOnTrial]) -> Evaluation:
    """Return an evaluation with what people are to compare: nothing when the gate blocks the candidate whatever they say."""
    if is_blocked_anyway(evaluation, in_force.policy, in_force.rubric, looks_taken(events_of(context, GATES), evaluation.application)):
        _log.info("people are not asked about candidate %s: the gate blocks it without them", evaluation.candidate)
        return evaluation
    counts = {"n_asked": len(chosen), "n_missing": sum(not each.identical for each in chosen)}
    evaluators = [each.model_copy(update=counts) if each.evaluator == PEOPLE else each for each in evaluation.evaluators]
    return evaluation.model_copy(update={"trials": chosen, "evaluators": evaluators})


def _in_force(context: JobContext) -> InForce:
    request = context.request
    found = context.governance.policy(request.policy_id, request.policy_version)
    if found is None:
        raise ConfigurationError(f"policy {request.policy_id!r} version {request.policy_version} is not published; publish it and request the job again")
    return found


def _found(
    material: Material,
    candidate: ModelScores,
    baseline: ModelScores,
    judged: Mapping[tuple[str, str], Verdicts],
) -> tuple[list[PairedScores], list[EvaluatorEvidence]]:
    scores: list[PairedScores] = []
    evaluators: list[EvaluatorEvidence] = []
    for unit, ours in candidate.scores.items():
        theirs, verdicts = baseline.scores[unit], judged.get(unit)
        if unit[1] == PEOPLE:
            evaluators.append(EvaluatorEvidence(dimension=unit[0], evaluator=PEOPLE, n_asked=0, n_missing=0))
            continue
        scores += paired_scores(*unit, ours, theirs, slices_of=material.slices, slices=material.gate.slices)
        asked, version = _asked(material, unit[1])
        evaluators.append(
            EvaluatorEvidence(
                dimension=unit[0],
                evaluator=unit[1],
                version=verdicts.fingerprint if verdicts else version,
                n_asked=asked,
                n_missing=max(asked - len(ours.keys() & theirs.keys()), 0),
                **(_agreement(verdicts.agreement) if verdicts else {}),
            )
        )
    return scores, evaluators


def _asked(material: Material, evaluator: str) -> tuple[int, str | None]:
    """Return on how many items an evaluator was to score, and the version of its probes."""
    if evaluator == PREFERENCE_ACCURACY:
        return len(material.pairs), None
    if evaluator.startswith(PROBE):
        probes = material.probes[evaluator.removeprefix(PROBE)]
        return len(probes), probes_hash(list(probes.values())) if probes else None
    return material.n_items, None


def _agreement(found: JudgeAgreement) -> dict[str, Any]:
    correlation, ac2 = found.correlation, found.ac2
    return {
        "human_agreement": correlation.value,
        "human_agreement_low": correlation.ci_low,
        "human_agreement_high": correlation.ci_high,
        "human_agreement_n": correlation.n,
        "human_ac2": ac2.value,
        "human_ac2_low": ac2.ci_low,
        "human_ac2_high": ac2.ci_high,
        "human_bias": found.bias.value,
        "human_undefined": correlation.undefined.value if correlation.undefined else None,
    }


def _evaluation_id(context: JobContext, result: TrainingResult, in_force: InForce, snapshot: CalibrationSnapshot) -> str:
    request, policy, content = context.request, in_force.policy, snapshot.items.content_hash
    return derive_id("evaluation", request.job_id, str(result.checkpoint), request.baseline_checkpoint, content, policy.id, str(policy.version))


def _evaluation(context: JobContext, result: TrainingResult, in_force: InForce, snapshot: CalibrationSnapshot, found: dict[str, Any]) -> Evaluation:
    request, policy, items = context.request, in_force.policy, snapshot.items
    return Evaluation(
        occurred_at=datetime.now(UTC),
        application=request.application,
        candidate=str(result.checkpoint),
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
        **found,
    )
