"""Evidence that may not decide, and why."""

from collections.abc import Sequence

from trueloop.events import Evaluation, EvaluatorEvidence, GateReason
from trueloop.gates.requirements import Requirement, Unit
from trueloop.rubrics.gate_policy import Gate


def withheld_units(evaluation: Evaluation, gate: Gate, required: Sequence[Requirement]) -> dict[Unit, GateReason]:
    """Return the units whose evidence may not decide, with the reason.

    A judge decides nothing while the policy demands more agreement with people than is shown: the lower 95 % bound counts, and no bound is none.
    Probes are a fixed list, so one that was not answered may be the one that fails.

    Args:
        evaluation: What was found.
        gate: What the policy demands.
        required: Its requirements.
    """
    known = {(each.dimension, each.evaluator): each for each in evaluation.evaluators}
    withheld: dict[Unit, GateReason] = {}
    for each in required:
        reason = _reason(each, known.get((each.gate.dimension, each.gate.evaluator)), gate.min_judge_agreement)
        if reason is not None:
            withheld[each.unit] = reason
    return withheld


def _reason(required: Requirement, evidence: EvaluatorEvidence | None, least: float | None) -> GateReason | None:
    if required.gate.probes:
        complete = evidence is not None and evidence.n_asked > 0 and evidence.n_missing == 0
        return None if complete else GateReason.PROBES_INCOMPLETE
    if least is None or not required.gate.evaluator.startswith("judge:"):
        return None
    shown = None if evidence is None else evidence.human_agreement_low
    return GateReason.JUDGE_UNPROVEN if shown is None or shown < least else None
