"""Reference and current windows as a stream fills them: where they close, what they are compared with, and that cuts do not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from trueloop.drift import (
    EmbeddingWindow,
    Histogram,
    RandomFeatures,
    Windows,
    fill,
    maximum_mean_discrepancy,
    reference_window,
    restarted,
    restarted_on_release,
    wasserstein_distance,
)
from trueloop.drift.embedding_window import add as add_embeddings
from trueloop.drift.histogram import add
from trueloop.events import DriftState

SIZES = {"reference_size": 50, "window_size": 20}
FEATURES = RandomFeatures(dimensions=8, frequencies=4)
SOME = settings(max_examples=30)
CUTS = st.lists(st.integers(0, 130), max_size=5)


def lengths(seed, n, scale=1.0):
    return np.random.default_rng(seed).lognormal(5, 0.5, n) * scale


def pieces(values, cuts):
    return np.split(values, sorted(cut for cut in cuts if cut <= len(values)))


def test_windows_close_at_their_sizes_and_leave_no_gap():
    values = lengths(1, 130)
    state, full = fill(Windows(Histogram()), values, "v1", **SIZES)
    assert [each.count for each in full] == [70, 90, 110, 130]
    assert (state.reference, state.current, state.number, state.checkpoints) == (add(Histogram(), values[:50]), None, 1, ("v1",))
    assert full[1].current == add(Histogram(), values[70:90])
    assert all(each.reference == state.reference for each in full)


@SOME
@given(st.integers(0, 1000), CUTS)
def test_it_does_not_matter_where_histograms_are_cut(seed, cuts):
    values = lengths(seed, 130)
    values[np.random.default_rng(seed).random(130) < 0.1] = np.nan
    whole, full = fill(Windows(Histogram()), values, "v1", **SIZES)
    state, found, done = Windows(Histogram()), [], 0
    for piece in pieces(values, cuts):
        state, more = fill(state, piece, "v1", **SIZES)
        found += [(done + each.count, each.current) for each in more]
        done += len(piece)
    assert state == whole
    assert found == [(each.count, each.current) for each in full]
    stored = TypeAdapter(Windows[Histogram])
    assert stored.validate_json(stored.dump_json(whole)) == whole


@SOME
@given(st.integers(0, 1000), CUTS)
def test_it_does_not_matter_where_embeddings_are_cut(seed, cuts):
    rows = np.random.default_rng(seed).normal(size=(130, 8)).astype(np.float32)
    rows[3] = 0.0
    whole, full = fill(Windows(reference_window(FEATURES)), rows, None, **SIZES)
    state = Windows(reference_window(FEATURES))
    for piece in pieces(rows, cuts):
        state, _ = fill(state, piece, None, **SIZES)
    assert state == whole
    assert whole.reference == add_embeddings(reference_window(FEATURES), rows[:51])  # one had no direction
    assert (full[0].current.products, full[0].current.n) == (None, 20)
    assert maximum_mean_discrepancy(full[0].reference, full[0].current).n_reference == 50
    stored = TypeAdapter(Windows[EmbeddingWindow])
    assert stored.validate_json(stored.dump_json(whole)) == whole


def test_a_reference_stays_over_a_release_and_names_its_checkpoint():
    state, _ = fill(Windows(Histogram()), lengths(1, 60), "v1", **SIZES)
    state, (full,) = fill(state, lengths(2, 10, 3.0), "v2", **SIZES)
    assert (full.checkpoints, full.current_checkpoints, full.number) == (("v1",), ("v1", "v2"), 1)
    state, (longer,) = fill(state, lengths(3, 20, 3.0), "v2", **SIZES)
    assert longer.current_checkpoints == ("v2",)
    assert wasserstein_distance(longer.reference, longer.current).state is DriftState.WARNING


def test_a_restart_takes_the_next_window_and_compares_with_the_old_reference_until_then():
    state, _ = fill(Windows(Histogram()), lengths(1, 60), "v1", **SIZES)
    state, full = fill(restarted(state), lengths(2, 60, 3.0), "v2", **SIZES)
    assert [(each.count, each.number, each.checkpoints) for each in full] == [(10, 1, ("v1",)), (30, 1, ("v1",)), (50, 1, ("v1",))]
    assert (state.number, state.checkpoints, state.reference) == (2, ("v2",), add(Histogram(), lengths(2, 60, 3.0)[:50]))
    assert (state.current.n, state.coming, state.restarting) == (10, None, False)


def test_a_release_restarts_once_and_its_reference_holds_nothing_of_the_old_checkpoint():
    state, _ = fill(Windows(Histogram()), lengths(1, 50), "v1", **SIZES)
    assert restarted_on_release(state, None) == restarted_on_release(state, "v1") == state
    state = restarted_on_release(state, "v2")
    assert state.restarting
    assert restarted_on_release(state, "v2") == state
    state, _ = fill(state, lengths(2, 40, 3.0), "v2", **SIZES)
    state, _ = fill(state, lengths(3, 30), "v1", **SIZES)  # stragglers
    assert (state.coming.n, state.number) == (40, 1)
    state, _ = fill(state, lengths(4, 10, 3.0), "v2", **SIZES)
    assert (state.reference, state.checkpoints) == (add(add(Histogram(), lengths(2, 40, 3.0)), lengths(4, 10, 3.0)), ("v2",))
    assert restarted_on_release(state, "v1").restarting  # a rollback is a release too


def test_a_restart_before_there_is_a_reference_begins_anew():
    state, _ = fill(Windows(Histogram()), lengths(1, 30), "v1", **SIZES)
    state, _ = fill(restarted(state), lengths(2, 50), "v2", **SIZES)
    assert (state.number, state.checkpoints, state.reference) == (1, ("v2",), add(Histogram(), lengths(2, 50)))


def test_nothing_is_no_change_and_sizes_are_counts():
    state = Windows(Histogram())
    assert fill(state, np.array([]), "v1", **SIZES) == (state, ())
    for sizes in ({"reference_size": 0, "window_size": 1}, {"reference_size": 1, "window_size": 0}):
        with pytest.raises(ValueError, match="expected at least 1"):
            fill(state, np.array([1.0]), "v1", **sizes)
    with pytest.raises(ValueError, match="infinite"):
        fill(state, np.array([np.inf]), "v1", **SIZES)
    with pytest.raises(ValueError, match="8"):
        fill(Windows(reference_window(FEATURES)), np.ones((1, 3), np.float32), None, **SIZES)
