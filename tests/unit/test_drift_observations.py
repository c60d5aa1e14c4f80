"""What observations of a drift series may hold."""

import math
import struct
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from tests.factories import example
from trueloop.events import DriftObservations


def longs(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


def doubles(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


def remade(**changes: object) -> DriftObservations:
    fields = {
        "losses": doubles(0.0, 0.5, 1.0), "marks": longs(-5, 7, 9), "offsets": longs(0, 3, 4), "source": "traces/0", "checkpoints": ["v1", "v2"],
        "checkpoint_of": longs(0, -1, 1), "worst": [],
    }  # fmt: skip
    return DriftObservations.model_validate(example(DriftObservations).model_dump() | fields | changes)


def test_what_is_right_is_taken() -> None:
    event = remade()
    assert event.loss_values().tolist() == [0.0, 0.5, 1.0]
    assert [event.checkpoint_at(place) for place in range(3)] == ["v1", None, "v2"]
    assert remade(source=None, offsets=b"", checkpoints=[], checkpoint_of=b"").checkpoint_at(0) is None


@pytest.mark.parametrize("losses", [(0.0, math.nan, 1.0), (-0.001, 0.5, 1.0), (0.0, 0.5, 1.001), (math.inf, 0.0, 0.0), (0.0, 0.0, -math.inf)])
def test_a_loss_beyond_its_range_is_refused(losses: Sequence[float]) -> None:
    with pytest.raises(ValidationError, match=r"losses must be in \[0, 1\]"):
        remade(losses=doubles(*losses))


@pytest.mark.parametrize("offsets", [(-1, 3, 4), (0, 3, 3), (0, 4, 3), (5, 3, 4)])
def test_offsets_that_do_not_ascend_from_0_are_refused(offsets: Sequence[int]) -> None:
    with pytest.raises(ValidationError, match="offsets must ascend"):
        remade(offsets=longs(*offsets))


@pytest.mark.parametrize("changes", [{"source": None}, {"offsets": b""}])
def test_offsets_and_source_go_together(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="go together with source"):
        remade(**changes)


@pytest.mark.parametrize("changes", [{"checkpoint_of": longs(0, -2, 1)}, {"checkpoint_of": longs(0, 2, 1)}, {"checkpoint_of": b""}, {"checkpoints": []}])
def test_a_checkpoint_that_is_not_named_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="checkpoint_of must name"):
        remade(**changes)


@pytest.mark.parametrize(
    "changes", [{"losses": b""}, {"losses": b"1234567"}, {"marks": longs(1, 2)}, {"offsets": longs(1, 2)}, {"checkpoint_of": longs(0)}], ids=str
)
def test_what_is_not_aligned_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="8 bytes per item"):
        remade(**changes)


def test_the_worst_are_among_the_items() -> None:
    with pytest.raises(ValidationError, match="worst must name"):
        remade(worst=[{"place": 3, "trace_id": "trace-1"}])
