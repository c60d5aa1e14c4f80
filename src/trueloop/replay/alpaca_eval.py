"""AlpacaEval (Li et al. 2023): one model's outputs, or a judge's preferences between two models' outputs.

A judge is no reviewer. Its preference becomes a score of the trace, the probability that the served completion is the better one: it can
steer sampling and be compared with people, and is never evidence at a gate.
"""

from collections.abc import Mapping
from typing import Any

from trueloop.errors import ConfigurationError
from trueloop.events import Alternative, Consent, Message, Role, Trace
from trueloop.replay.item import ReplayItem, Target, number, text, trace_id

SCORE = "judge_preference"


def parse_row(row: Mapping[str, Any], target: Target) -> ReplayItem:
    """Return the item of a row of either kind of file. Raises ConfigurationError naming the field that is wrong."""
    return ReplayItem(_judged(row, target) if "preference" in row else _output(row, target))


def _output(row: Mapping[str, Any], target: Target) -> Trace:
    instruction, output, generator = text(row, "instruction"), text(row, "output"), text(row, "generator")
    identity = trace_id(target.application, "alpaca-eval", generator, instruction, output)
    return _trace(target, identity, instruction, generator, output, slices={"dataset": text(row, "dataset"), "generator": generator})


def _judged(row: Mapping[str, Any], target: Target) -> Trace:
    instruction, outputs = text(row, "instruction"), (text(row, "output_1"), text(row, "output_2"))
    generators = (text(row, "generator_1"), text(row, "generator_2"))
    preference = number(row, "preference")
    if not 1.0 <= preference <= 2.0:
        raise ConfigurationError(f"field 'preference' is {preference:g}; expected 1 (output_1 is better) to 2 (output_2 is)")
    judge = text(row, "annotator")
    identity = trace_id(target.application, "alpaca-eval-judge", judge, *generators, instruction, *outputs)
    return _trace(
        target,
        identity,
        instruction,
        generators[0],
        outputs[0],
        slices={"pair": "_".join(generators), "judge": judge},
        scores={SCORE: 2.0 - preference},
        alternatives=[Alternative(completion=outputs[1], model=generators[1])],
    )


def _trace(target: Target, identity: str, instruction: str, model: str, completion: str, **more: Any) -> Trace:
    return Trace(
        event_id=identity,
        trace_id=identity,
        occurred_at=target.now,
        application=target.application,
        model=model,
        consent=Consent.TRAINING,
        messages=[Message(role=Role.USER, content=instruction)],
        completion=completion,
        **more,
    )
