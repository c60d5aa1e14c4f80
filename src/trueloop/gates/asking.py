"""Whether people have to be asked at all: not about a candidate that something else blocks."""

from collections.abc import Iterable

from trueloop.events import Evaluation, Event, GateDecision, Verdict
from trueloop.gates.decide import decide
from trueloop.gates.looks import Look
from trueloop.rubrics import Policy, Rubric

AHEAD = 10
"""Looks that may be taken between an evaluation and the decision on it, its own among them."""


def looks_taken(decisions: Iterable[Event], application: str) -> int:
    """Return the number of the newest look of an application, as its decisions tell; 0 before the first. Each family counts anew, the newest is meant.

    Args:
        decisions: What topic `gates` holds, in any order; other events are passed over.
        application: Whose looks.
    """
    found = [(each.look_family, each.look) for each in decisions if isinstance(each, GateDecision) and each.application == application]
    return max(found, default=(0, 0))[1]


def is_blocked_anyway(evaluation: Evaluation, policy: Policy, rubric: Rubric, looks: int) -> bool:
    """Return whether the gate will block a candidate on what was found without people.

    The gate counts looks when it decides, and later looks block less. So this asks at the look that is `AHEAD` further than those that were taken: what
    is blocked there is blocked at each look before it, and at the first of a new family.

    Args:
        evaluation: All but what people say.
        policy: What governs it.
        rubric: Its rubric.
        looks: Looks that were taken, >= 0.
    """
    look = Look.numbered(policy.gate, looks + AHEAD)
    return decide(evaluation.model_copy(update={"trials": []}), policy, rubric, look).verdict is Verdict.BLOCK
