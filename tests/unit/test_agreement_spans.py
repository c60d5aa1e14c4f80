"""Agreement on marked spans: by hand, against slow definitions, and by the laws."""

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueloop.agreement import Evidence, Replicates, evidence_of, krippendorff_alpha, span_alpha, span_f1
from trueloop.agreement.span_marks import marked_members
from trueloop.events import Undefined

LENGTH = 12
SPAN = st.tuples(st.integers(0, LENGTH - 1), st.integers(1, 4)).map(lambda place: (place[0], min(LENGTH, sum(place))))
READINGS = st.lists(st.lists(st.lists(SPAN, max_size=3), min_size=1, max_size=3), min_size=1, max_size=5)


def rows(read):
    """Documents, each with what its readers marked, as columns."""
    found = [(document, rater, spans, LENGTH) for document, by in enumerate(read) for rater, spans in enumerate(by)]
    return tuple(list(column) for column in zip(*found, strict=True))


def marks(spans):
    return {place for start, end in spans for place in range(start, end)}


@settings(max_examples=50)
@given(READINGS)
def test_alpha_is_that_of_the_characters_one_by_one(read):
    characters = [
        (f"{document}-{place}", rater, place in marks(spans)) for document, by in enumerate(read) for rater, spans in enumerate(by) for place in range(LENGTH)
    ]
    slow = krippendorff_alpha(*zip(*characters, strict=True), clusters=[name.split("-")[0] for name, _, _ in characters])
    assert span_alpha(*rows(read)) == slow
    letters = [(place, place + 1) for place in range(LENGTH)]
    tokens = dict.fromkeys(range(len(read)), letters)
    assert span_alpha(*rows(read), tokens=tokens) == slow


@settings(max_examples=50)
@given(READINGS)
def test_f1_is_that_of_the_sets(read):
    pairs = [(one, other) for by in read for one, other in combinations(by, 2)]
    for match, taken in (("character", marks), ("exact", set)):
        total = sum(len(taken(one)) + len(taken(other)) for one, other in pairs)
        found = span_f1(*rows(read)[:3], match=match)
        if total == 0:
            assert (found.value, found.undefined) == (None, Undefined.NO_VARIATION if pairs else Undefined.NO_PAIRABLE_UNITS)
        else:
            assert found.value == pytest.approx(2 * sum(len(taken(one) & taken(other)) for one, other in pairs) / total)
            assert found.n == sum(len(by) > 1 for by in read)


@settings(max_examples=50)
@given(READINGS)
def test_the_stream_computes_the_f1_of_the_notebook(read):
    clusters = ((str(document), marked_members(by, LENGTH)) for document, by in enumerate(read))
    streamed, notebook = span_f1(evidence_of(clusters, Evidence())), span_f1(*rows(read)[:3])
    assert streamed.value == (None if notebook.value is None else pytest.approx(notebook.value))
    assert streamed.n_clusters == notebook.n_units if notebook.undefined is not Undefined.NO_PAIRABLE_UNITS else streamed.n_clusters == 0
    assert (streamed.std_error or 0) == pytest.approx(
        notebook.std_error or 0, abs=1e-7
    )  # the root of a difference that cancels: of the order of the root of 2e-16


def test_by_hand():
    """Ten characters; x marks 0-3, y marks 2-5: both mark 2, one marks 4, none 4."""
    read = (["d", "d"], ["x", "y"], [[(0, 4)], [(2, 6)]], [10, 10])
    assert span_f1(*read[:3]).value == 4 / 8
    # o = 4 pairs apart, n = 20 with 8 marks: alpha = 1 - 19 * 4 / (8 * 12).
    assert span_alpha(*read).value == pytest.approx(1 - 19 * 4 / 96)
    assert span_f1(*read[:3], match="exact").value == 0.0
    assert span_alpha(*read, tokens={"d": [(0, 3), (3, 10)]}).undefined is Undefined.NO_VARIATION  # both readers touch both words


def test_overlapping_spans_of_a_reader_count_once_and_named_spans_have_to_agree_in_name():
    assert span_f1(["d", "d"], ["x", "y"], [[(0, 3), (1, 4)], [(0, 4)]]).value == 1.0
    named = (["d", "d"], ["x", "y"], [[(0, 4, "tone")], [(0, 4, "number")]])
    assert (span_f1(*named, match="exact").value, span_f1(*named).value) == (0.0, 1.0)


def test_nothing_marked_is_no_evidence_of_agreement_beyond_chance():
    nothing = (["d", "d"], ["x", "y"], [[], []], [10, 10])
    assert (span_alpha(*nothing).value, span_alpha(*nothing).undefined) == (None, Undefined.NO_VARIATION)
    assert (span_f1(*nothing[:3]).value, span_f1(*nothing[:3]).undefined) == (None, Undefined.NO_VARIATION)
    alone = (["d"], ["x"], [[(0, 4)]], [10])
    assert span_alpha(*alone).undefined is span_f1(*alone[:3]).undefined is Undefined.NO_PAIRABLE_UNITS


def test_documents_are_what_is_drawn():
    """Characters of a document hang together: the interval is that of some tens of documents, not of thousands of characters."""
    chance, read = random.Random(2), []
    for _ in range(40):
        start = chance.randrange(100)
        read.append([[(start, start + 60)], [(start + chance.randrange(40), start + 60 + chance.randrange(40))]])
    documents = [document for document in range(40) for _ in range(2)]
    spans, raters = [spans for by in read for spans in by], ["x", "y"] * 40
    clustered = span_alpha(documents, raters, spans, [300] * 80)
    assert (clustered.n_units, clustered.n_clusters) == (12_000, 40)
    characters = evidence_of(
        ((f"{document}-{unit}", ((pattern, 1),)) for document, by in enumerate(read) for unit, pattern in enumerate(one_by_one(by, 300))),
        Evidence(moments=None, replicates=Replicates("nominal")),
    )
    careless = krippendorff_alpha(characters)
    assert careless.value == clustered.value
    assert clustered.std_error > 2 * careless.std_error


def one_by_one(by, length):
    return [pattern for pattern, repeats in marked_members(by, length) for _ in range(repeats)]
