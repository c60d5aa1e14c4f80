"""What sampling and the drift counters look at of many traces, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from trueloop.columns.columns import Coded, Columns, MapOfDoubles, coded
from trueloop.columns.walk import Doubles, Flags, Ints
from trueloop.events import Consent, Trace

HOT = (
    "event_id", "occurred_at", "application", "trace_id", "checkpoint", "slices", "error", "latency_ms", "prompt_tokens", "completion_tokens", "scores",
    "consent",
)  # fmt: skip
"""Fields of a trace that have to be walked: those that are used, and those whose rules are checked on the way."""
MEASURES = ("latency_ms", "prompt_tokens", "completion_tokens")
"""Numbers of a trace that may be out of the ordinary: milliseconds, tokens, tokens."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US = (datetime(1, 1, 2, tzinfo=UTC) - EPOCH) // _MICROSECOND
_LAST_US = (datetime(9999, 12, 30, tzinfo=UTC) - EPOCH) // _MICROSECOND
_LONGEST_ID = 256
_ALLOWED = frozenset({Consent.REVIEW.value, Consent.TRAINING.value})


@dataclass(frozen=True, slots=True)
class TraceRows:
    """Traces of one partition.

    Attributes:
        places: Place of each in the batch, ascending.
        trace_ids: UTF-8.
        occurred_at: Microseconds since the epoch.
        applications: UTF-8.
        checkpoints: UTF-8; empty for unknown.
        slices: The slices of each, in any form that is equal for equal slices; `slice_values` has them in the order of its names.
        consented: Whether people may read it.
        failed: Whether the request ended in an error.
        scores: Per name, the score of each in [0, 1]; NaN where it has none. Inside the process only: no event holds NaN.
        measures: The same of each of `MEASURES`.
    """

    places: Ints
    trace_ids: list[bytes]
    occurred_at: Ints
    applications: Coded
    checkpoints: Coded
    slices: Coded
    slice_values: list[dict[str, str]]
    consented: Flags
    failed: Flags
    scores: dict[str, Doubles] = field(default_factory=dict)
    measures: dict[str, Doubles] = field(default_factory=dict)


def characters(trace: Trace) -> int:
    """Return the characters of the texts of a trace."""
    return sum(len(message.content) for message in trace.messages) + len(trace.completion) + sum(len(a.completion) for a in trace.alternatives)


def rows_of_events(traces: Sequence[Trace], places: Sequence[int]) -> TraceRows:
    """Return traces that were read whole as rows."""
    scores: dict[str, Doubles] = {}
    for row, trace in enumerate(traces):
        for name, score in trace.scores.items():
            scores.setdefault(name, np.full(len(traces), np.nan))[row] = score
    return TraceRows(
        places=np.array(places, np.int64),
        trace_ids=[trace.trace_id.encode() for trace in traces],
        occurred_at=np.array([(trace.occurred_at - EPOCH) // _MICROSECOND for trace in traces], np.int64),
        applications=coded([trace.application.encode() for trace in traces]),
        checkpoints=coded([(trace.checkpoint or "").encode() for trace in traces]),
        slices=Coded(np.arange(len(traces)), [str(row).encode() for row in range(len(traces))]),
        slice_values=[trace.slices for trace in traces],
        consented=np.array([trace.consent.value in _ALLOWED for trace in traces], np.bool_),
        failed=np.array([trace.error is not None for trace in traces], np.bool_),
        scores=scores,
        measures={name: np.array([getattr(trace, name) for trace in traces], np.float64) for name in MEASURES},
    )


def joined(first: TraceRows, second: TraceRows) -> TraceRows:
    """Return the rows of both, in the order of their places."""
    places = np.concatenate([first.places, second.places])
    order = np.argsort(places)
    ids = first.trace_ids + second.trace_ids

    def both(left: Coded, right: Coded) -> Coded:
        names = coded(left.names + right.names)
        return Coded(names.codes[np.concatenate([left.codes, right.codes + len(left.names)])][order], names.names)

    def score(rows: TraceRows, name: str) -> Doubles:
        return rows.scores.get(name, np.full(len(rows.places), np.nan))

    return TraceRows(
        places=places[order],
        trace_ids=[ids[row] for row in order.tolist()],
        occurred_at=np.concatenate([first.occurred_at, second.occurred_at])[order],
        applications=both(first.applications, second.applications),
        checkpoints=both(first.checkpoints, second.checkpoints),
        slices=Coded(np.concatenate([first.slices.codes, second.slices.codes + len(first.slices.names)])[order], first.slices.names + second.slices.names),
        slice_values=first.slice_values + second.slice_values,
        consented=np.concatenate([first.consented, second.consented])[order],
        failed=np.concatenate([first.failed, second.failed])[order],
        scores={name: np.concatenate([score(first, name), score(second, name)])[order] for name in sorted({*first.scores, *second.scores})},
        measures={name: np.concatenate([first.measures[name], second.measures[name]])[order] for name in MEASURES},
    )


def rows_of(columns: Columns) -> TraceRows:
    """Return the rows of records that obey the rules of a trace as far as they were walked. The others are not among `places`."""
    good = columns.regular & _obeys_rules(columns)
    scores, named = _scores(columns, columns.double_maps["scores"])
    good &= named
    applications, checkpoints, slices = (columns.coded(spans) for spans in (columns.texts["application"], columns.texts["checkpoint"], columns.maps["slices"]))
    slice_values, readable = _slice_values(slices)
    good &= readable[slices.codes] & _is_utf8(applications)[applications.codes] & _is_utf8(checkpoints)[checkpoints.codes]
    trace_ids = columns.pieces(columns.texts["trace_id"])
    # Text that is ASCII throughout is UTF-8; where it is not, each id is looked at.
    if not b"".join(trace_ids).isascii():
        good &= np.fromiter((_decodes(each) for each in trace_ids), np.bool_, len(trace_ids))
    places = np.flatnonzero(good)
    all_of_them = len(places) == len(good)
    chosen = slice(None) if all_of_them else places
    symbols = columns.symbols["consent"]
    allowed = np.array([symbol in _ALLOWED for symbol in symbols])
    return TraceRows(
        places=places,
        trace_ids=trace_ids if all_of_them else [trace_ids[place] for place in places.tolist()],
        occurred_at=columns.longs["occurred_at"][chosen],
        applications=applications if all_of_them else _in_use(applications, places),
        checkpoints=checkpoints if all_of_them else _in_use(checkpoints, places),
        slices=Coded(slices.codes[chosen], slices.names),
        slice_values=slice_values,
        consented=allowed[columns.enums["consent"][chosen]],
        failed=columns.texts["error"].start[chosen] >= 0,
        scores={name: values[chosen] for name, values in scores.items()},
        measures={name: _measured(columns, name)[chosen] for name in MEASURES},
    )


def _measured(columns: Columns, name: str) -> Doubles:
    """Return a number per record, NaN where it is null."""
    if name in columns.doubles:
        return columns.doubles[name]
    return np.where(columns.present[name], columns.longs[name], np.nan)


def _obeys_rules(columns: Columns) -> Flags:
    """Check what the event's model checks of these fields. Who is refused here is read singly, and learns there what is wrong."""
    obeys = np.ones(len(columns.regular), np.bool_)
    for name in ("event_id", "application", "trace_id"):
        spans = columns.texts[name]
        length = spans.end - spans.start
        obeys &= (length >= 1) & (length <= _LONGEST_ID)
    latency = columns.doubles["latency_ms"]
    obeys &= ~(latency < 0.0)
    for name in ("prompt_tokens", "completion_tokens"):
        obeys &= columns.longs[name] >= 0
    moments = columns.longs["occurred_at"]
    return obeys & (moments >= _FIRST_US) & (moments <= _LAST_US)


def _scores(columns: Columns, found: MapOfDoubles) -> tuple[dict[str, Doubles], Flags]:
    """Return the scores by name, and which rows have only good ones."""
    size = len(columns.regular)
    good = np.ones(size, np.bool_)
    scores: dict[str, Doubles] = {}
    for place, (keys, values) in enumerate(zip(found.keys, found.values, strict=True)):
        active = found.counts > place
        good &= ~active | (values >= 0.0) & (values <= 1.0)
        coded = columns.coded(keys)
        if len(coded.names) == 1 and active.all() and _decodes(coded.names[0]) and coded.names[0].decode() not in scores:
            scores[coded.names[0].decode()] = values.copy()  # all have this name here, as where one writer makes all traces
            continue
        for code, name in enumerate(coded.names):
            rows = active & (coded.codes == code)
            if not rows.any():
                continue
            if not _decodes(name):
                good &= ~rows
                continue
            column = scores.setdefault(name.decode(), np.full(size, np.nan))
            # A name that comes twice in one map counts with its last value, as in a dictionary.
            column[rows] = values[rows]
    return scores, good


def _slice_values(slices: Coded) -> tuple[list[dict[str, str]], Flags]:
    found: list[dict[str, str]] = []
    readable = np.ones(len(slices.names), np.bool_)
    for code, encoded in enumerate(slices.names):
        try:
            found.append(_text_map(encoded))
        except (UnicodeDecodeError, IndexError):
            found.append({})
            readable[code] = False
    return found, readable


def _text_map(encoded: bytes) -> dict[str, str]:
    """Return a map of one block, as the walk found it."""
    count, place = _varint(encoded, 0)
    values: dict[str, str] = {}
    for _ in range(count):
        size, place = _varint(encoded, place)
        key, place = encoded[place : place + size].decode(), place + size
        size, place = _varint(encoded, place)
        values[key], place = encoded[place : place + size].decode(), place + size
    return values


def _varint(encoded: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = encoded[place]
        value, place, shift = value | (byte & 0x7F) << shift, place + 1, shift + 7
        if byte < 0x80:
            return value >> 1, place


def _in_use(coded: Coded, places: Ints) -> Coded:
    """Return the names of these records only: those of others may be anything, and no text."""
    used, codes = np.unique(coded.codes[places], return_inverse=True)
    return Coded(codes, [coded.names[code] for code in used.tolist()])


def _is_utf8(coded: Coded) -> npt.NDArray[np.bool_]:
    return np.fromiter((_decodes(name) for name in coded.names), np.bool_, len(coded.names))


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
