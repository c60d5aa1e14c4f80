"""The gate: one verdict per dimension and slice, and one over all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trueloop.events import DimensionVerdict, Evaluation, GateReason, PairedScores, Verdict
from trueloop.gates.intervals import Bounds, mean_difference, tango, wilson
from trueloop.gates.judge import Judgement, judge
from trueloop.gates.looks import Look
from trueloop.gates.missing_labels import further_items
from trueloop.gates.requirements import Evidence, Kind, Requirement, Unit, requirements
from trueloop.gates.win_rate import WinRate, answered
from trueloop.gates.withheld import withheld_units
from trueloop.rubrics import Policy, Rubric

_REASONS = {
    Kind.FLOOR: (GateReason.BELOW_FLOOR, GateReason.FLOOR_UNCERTAIN),
    Kind.NON_INFERIORITY: (GateReason.REGRESSION, GateReason.REGRESSION_UNCERTAIN),
    Kind.SUPERIORITY: (GateReason.NOT_SUPERIOR, GateReason.SUPERIORITY_UNCERTAIN),
    Kind.COUNT: (GateReason.SAFETY_FAILURE, GateReason.PROBES_INCOMPLETE),
}
"""Why a requirement blocks, and why it leaves the gate open."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict over all dimensions, why, how many further items would probably settle it, and the answers of people that it stands on, in order."""

    verdict: Verdict
    reasons: tuple[GateReason, ...]
    dimensions: tuple[DimensionVerdict, ...]
    labels_needed: int | None
    answers: tuple[float, ...] = ()


def decide(evaluation: Evaluation, policy: Policy, rubric: Rubric, look: Look, answers: Mapping[str, float] | None = None) -> Decision:
    """Return the decision on a candidate at one look, with what people answered so far: by trial, 1 where the candidate won, 0.5 for a tie.

    It passes when the evidence meets every requirement of the policy at the look's error, is blocked when it shows that one is missed, and else
    the evidence does not say; `Judgement` says which errors are held, `look_alpha` over which looks. Without evidence on every gated dimension
    nothing passes, nor before people have answered enough where the policy asks them, nor by a judge whose agreement with people is below what the
    policy demands, nor with probes left unanswered.
    """
    if evaluation.error is not None:
        return Decision(Verdict.INCONCLUSIVE, (GateReason.EVALUATION_FAILED,), (), None)
    scored = {(scores.dimension, scores.slice, scores.evaluator): scores for scores in evaluation.scores if scores.n > 0}
    required = requirements(policy, rubric, scored)
    withheld = withheld_units(evaluation, policy.gate, required)
    # An unproven judge says nothing at all; a probe that failed has failed, however many others were not answered.
    evidence = {unit: Evidence.of([scores]) for unit, scores in scored.items() if withheld.get(unit) is not GateReason.JUDGE_UNPROVEN}
    people = _people(evaluation, required, look, answers or {})
    judgement = judge(required, evidence, look.alpha, policy.gate.min_items, withheld=withheld, people=people)
    found = _Found(required, judgement, scored, withheld, people)
    verdicts = tuple(_verdicts(found, policy.gate.min_items, look))
    reasons = tuple(dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons if reason is not GateReason.MEETS_ALL))
    counted = next((rate.values for rate in people.values()), ())
    if judgement.blocked[0]:
        return Decision(Verdict.BLOCK, reasons, verdicts, 0, counted)
    if judgement.passed[0]:
        return Decision(Verdict.PASS, (GateReason.MEETS_ALL,), verdicts, 0, counted)
    if withheld:
        return Decision(Verdict.INCONCLUSIVE, reasons, verdicts, None, counted)
    return Decision(Verdict.INCONCLUSIVE, reasons, verdicts, _needed(found, range(len(required)), policy.gate.min_items, look), counted)


def _people(evaluation: Evaluation, required: Sequence[Requirement], look: Look, answers: Mapping[str, float]) -> dict[Unit, WinRate]:
    """Return what people answered, where they were asked; answers that were the same are ties from the start."""
    if not evaluation.trials:
        return {}
    rate = answered([0.5 if each.identical else answers.get(each.trial_id) for each in evaluation.trials])
    return {each.unit: rate.until_shown(each.limit, look.alpha) for each in required if each.gate.people}


@dataclass(frozen=True, slots=True)
class _Found:
    """What was required, what came of it, and what it stands on."""

    required: Sequence[Requirement]
    judgement: Judgement
    scored: Mapping[Unit, PairedScores]
    withheld: Mapping[Unit, GateReason]
    people: Mapping[Unit, WinRate]


def _needed(found: _Found, columns: Iterable[int], least: int, look: Look) -> int | None:
    """Return how many further items, or answers of people where these are more, would probably settle the requirements in `columns`."""
    chosen = list(columns)
    asked = [column for column in chosen if found.required[column].unit in found.people and not found.judgement.met[0, column]]
    scored = [column for column in chosen if not found.required[column].gate.people]
    items = [found.scored[each.unit].n if each.unit in found.scored else 0 for each in found.required]
    known: list[int | None] = [found.people[found.required[column].unit].missing or None for column in asked]
    if scored:
        known.append(further_items(found.judgement, scored, found.required, items=items, min_items=least, alpha=look.next_alpha))
    return None if None in known else max((number for number in known if number is not None), default=0)


def _verdicts(found: _Found, least: int, look: Look) -> Iterator[DimensionVerdict]:
    required, judgement = found.required, found.judgement
    for unit in dict.fromkeys(each.unit for each in required):
        columns = [column for column, each in enumerate(required) if each.unit == unit]
        scores = found.scored.get(unit)
        reasons = list(dict.fromkeys(_reasons(found, columns)))
        verdict = _verdict(judgement, columns)
        needed: int | None = 0
        if verdict is Verdict.INCONCLUSIVE and unit in found.withheld:
            needed = None  # more items do not mend it
        elif verdict is Verdict.INCONCLUSIVE:
            needed = _needed(found, columns, least, look)
        tested = bool(judgement.tested[0, columns].all())
        gate = required[columns[0]].gate
        yield DimensionVerdict(
            dimension=unit[0],
            slice=unit[1],
            evaluator=unit[2],
            verdict=verdict,
            reasons=reasons or [GateReason.MEETS_ALL],
            floor=next((required[column].limit for column in columns if gate.people or required[column].kind is Kind.FLOOR), None),
            max_regression=None if gate.probes else gate.max_regression,
            superior=any(required[column].kind is Kind.SUPERIORITY for column in columns),
            safety=gate.safety,
            max_failures=gate.failures_allowed,
            confidence=1.0 - look.alpha,
            pass_p=float(judgement.pass_p[0, columns].max()) if tested else None,
            block_p=float(judgement.block_p[0, columns].min()) if tested else None,
            labels_needed=needed,
            **(_win_rate(found.people.get(unit), look.alpha) if gate.people else _numbers(scores, 1.0 - look.alpha)),
        )


def _verdict(judgement: Judgement, columns: list[int]) -> Verdict:
    if judgement.missed[0, columns].any() or judgement.failed[0, columns].any():
        return Verdict.BLOCK
    return Verdict.PASS if judgement.met[0, columns].all() else Verdict.INCONCLUSIVE


def _reasons(found: _Found, columns: list[int]) -> Iterator[GateReason]:
    required, judgement = found.required, found.judgement
    for column in columns:
        unit = required[column].unit
        misses, unsure = _REASONS[required[column].kind]
        if judgement.failed[0, column]:
            yield GateReason.SAFETY_FAILURE
        if not judgement.tested[0, column]:
            yield found.withheld.get(unit) or (GateReason.TOO_FEW_ITEMS if unit in found.scored else GateReason.NO_EVIDENCE)
        elif judgement.missed[0, column]:
            yield misses
        elif not judgement.met[0, column]:
            yield GateReason.AWAITING_PEOPLE if unit in found.people and found.people[unit].missing else unsure


def _numbers(scores: PairedScores | None, confidence: float) -> dict[str, float | int]:
    """Return the estimates and their bounds as they stand in the verdict."""
    if scores is None:
        return {"n": 0}
    mean, baseline = scores.sum_candidate / scores.n, scores.sum_baseline / scores.n
    own, difference = wilson(min(mean, 1.0), scores.n, confidence), _difference_bounds(scores, confidence)
    return {
        "n": scores.n,
        "candidate": mean,
        "candidate_low": own.low,
        "candidate_high": own.high,
        "baseline": baseline,
        "difference": mean - baseline,
        "difference_low": difference.low,
        "difference_high": difference.high,
    }


def _win_rate(rate: WinRate | None, alpha: float) -> dict[str, float | int | None]:
    """Return what people said as it stands in the verdict."""
    if rate is None:
        return {"n": 0}
    counts: dict[str, float | int | None] = {"n": rate.n, "ties": rate.ties, "answers_missing": rate.missing}
    if not rate.n:
        return counts
    low, high = rate.bounds(alpha)
    return counts | {"candidate": rate.mean, "candidate_low": low, "candidate_high": high}


def _difference_bounds(scores: PairedScores, confidence: float) -> Bounds:
    if scores.binary:
        only_candidate = max(scores.sum_candidate - scores.sum_products, 0.0)
        only_baseline = max(scores.sum_baseline - scores.sum_products, 0.0)
        return tango(only_candidate, only_baseline, scores.n, confidence)
    evidence = Evidence.of([scores])
    return mean_difference(float(evidence.mean_difference[0]), float(evidence.difference_variance[0]), scores.n, confidence)
