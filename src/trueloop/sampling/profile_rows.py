"""What is described of many traces, as columns: their rows, with latency, tokens, answers and embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueloop.columns.columns import Columns
from trueloop.columns.walk import Doubles, Flags
from trueloop.events import Trace
from trueloop.events.trace import EMBEDDING_BYTES
from trueloop.sampling import rows as trace_rows
from trueloop.sampling.rows import HOT, TraceRows

FIELDS = (*HOT, "completion", "embedding")
"""Fields of a trace that have to be walked. The answer and the embedding lie at its end, behind the prompt."""

Matrix = npt.NDArray[np.float32]
_OPENING_BYTES = 4


@dataclass(frozen=True, slots=True)
class ProfileRows:
    """Traces of one partition.

    Attributes:
        traces: Which traces these are.
        numbers: By metric, the number of each; NaN where it was not measured. Inside the process only: no event holds NaN.
        completions: The answers, UTF-8; a stranger's bytes may be none.
        embeddings: The embeddings, little-endian float32; None for a trace that has none.
    """

    traces: TraceRows
    numbers: dict[str, Doubles]
    completions: list[bytes]
    embeddings: list[bytes | None]

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Place of each in the batch, ascending."""
        return self.traces.places

    def characters(self, chosen: Flags) -> Doubles:
        """Return how many characters the answers of the chosen rows have; NaN for the others, and for a request that failed."""
        found = np.full(len(self.places), np.nan)
        for row in np.flatnonzero(chosen & ~self.traces.failed).tolist():
            # Each character has one byte that continues none.
            found[row] = np.count_nonzero((np.frombuffer(self.completions[row], np.uint8) & 0xC0) != 0x80)
        return found

    def matrix(self, rows: Sequence[int]) -> Matrix:
        """Return the embeddings of rows that have one, shape (n, dimensions)."""
        joined = b"".join(embedding for row in rows if (embedding := self.embeddings[row]) is not None)
        return np.frombuffer(joined, "<f4").reshape(-1, EMBEDDING_BYTES // 4)

    def opening(self, row: int, characters: int) -> str:
        """Return the first characters of an answer, in the case that comparisons take. What is no UTF-8 is left out."""
        return self.completions[row][: characters * _OPENING_BYTES].decode(errors="ignore")[:characters].casefold()


def rows_of_events(traces: Sequence[Trace], places: Sequence[int]) -> ProfileRows:
    """Return traces that were read whole as rows."""

    def column(name: str) -> Doubles:
        return np.array([np.nan if (value := getattr(trace, name)) is None else value for trace in traces], np.float64)

    return ProfileRows(
        traces=trace_rows.rows_of_events(traces, places),
        numbers={name: column(name) for name in ("latency_ms", "prompt_tokens", "completion_tokens")},
        completions=[trace.completion.encode() for trace in traces],
        embeddings=[trace.embedding for trace in traces],
    )


def rows_of(columns: Columns) -> ProfileRows:
    """Return the rows of records that obey the rules of a trace as far as they were walked. The others are not among the places."""
    traces = trace_rows.rows_of(columns)
    places = traces.places

    def tokens(name: str) -> Doubles:
        # A null union was read as 0 tokens, and has nothing where the number would be.
        return np.where(columns.present[name][places], columns.longs[name][places].astype(np.float64), np.nan)

    completions, embeddings = columns.pieces(columns.texts["completion"]), columns.pieces(columns.fixed["embedding"])
    return ProfileRows(
        traces=traces,
        numbers={
            "latency_ms": columns.doubles["latency_ms"][places],
            "prompt_tokens": tokens("prompt_tokens"),
            "completion_tokens": tokens("completion_tokens"),
        },
        completions=[completions[place] for place in places.tolist()],
        embeddings=[embeddings[place] or None for place in places.tolist()],
    )


def joined(first: ProfileRows, second: ProfileRows) -> ProfileRows:
    """Return the rows of both, in the order of their places."""
    order = np.argsort(np.concatenate([first.places, second.places]))
    completions, embeddings = first.completions + second.completions, first.embeddings + second.embeddings
    return ProfileRows(
        traces=trace_rows.joined(first.traces, second.traces),
        numbers={name: np.concatenate([values, second.numbers[name]])[order] for name, values in first.numbers.items()},
        completions=[completions[row] for row in order.tolist()],
        embeddings=[embeddings[row] for row in order.tolist()],
    )
