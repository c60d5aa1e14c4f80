"""PandaLM's test set (Wang et al. 2023, arXiv 2306.05087): pairs of responses, each judged by three annotators: 1, 2, or 0 for a tie."""

from collections.abc import Mapping
from typing import Any

from trueloop.errors import ConfigurationError
from trueloop.events import Alternative, Consent, Message, Role, Trace
from trueloop.replay.item import ReplayItem, Target, Verdict, number, text, trace_id

ANNOTATORS = (1, 2, 3)


def parse_row(row: Mapping[str, Any], target: Target) -> ReplayItem:
    """Return the item of a row. Raises ConfigurationError naming the field that is wrong."""
    pair = text(row, "cmp_key")
    models = pair.split("_")
    if len(models) != 2:
        raise ConfigurationError("field 'cmp_key' names no two models; expected 'MODEL1_MODEL2'")
    instruction, given = text(row, "instruction"), text(row, "input")
    responses = (_response(row, "response1"), _response(row, "response2"))
    identity = trace_id(target.application, "pandalm", pair, instruction, given, *responses)
    trace = Trace(
        event_id=identity,
        trace_id=identity,
        occurred_at=target.now,
        application=target.application,
        model=models[0],
        slices={"pair": pair, "app": str(row.get("motivation_app") or "unknown")},
        consent=Consent.TRAINING,
        messages=[Message(role=Role.USER, content=f"{instruction}\n\n{given}" if given else instruction)],
        completion=responses[0],
        alternatives=[Alternative(completion=responses[1], model=models[1])],
    )
    return ReplayItem(trace, tuple(_verdict(row, annotator, responses) for annotator in ANNOTATORS))


def _response(row: Mapping[str, Any], field: str) -> str:
    """Return a response. Answers such as 'True' and '42' became JSON booleans and numbers when the data set was made."""
    value = row.get(field)
    return str(value) if isinstance(value, bool | int | float) else text(row, field)


def _verdict(row: Mapping[str, Any], annotator: int, responses: tuple[str, str]) -> Verdict:
    vote = number(row, f"annotator{annotator}")
    if vote not in (0, 1, 2):
        raise ConfigurationError(f"field 'annotator{annotator}' is {vote:g}; expected 1, 2, or 0 for a tie")
    return Verdict(f"pandalm-annotator-{annotator}", None if vote == 0 else responses[int(vote) - 1])
