"""The pure parts of pairs: chains of edits, how alike two texts are, and how much of a dataset stands on one person."""

import random
from collections import defaultdict
from math import fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueloop.events import Severity, SpanMark
from trueloop.pairs.influence import Backing, capped_weights, influence_parts
from trueloop.pairs.near_duplicates import SHINGLE, are_alike, similarity
from trueloop.pairs.span_chain import SEVERITY_WEIGHTS, span_chain

unhurried = settings(max_examples=60)
"""The machine may be busy."""


def mark(start: int, end: int, replacement: str | None, severity: Severity = Severity.MINOR, dimension: str = "tone") -> SpanMark:
    return SpanMark(candidate_id="a", start=start, end=end, dimension=dimension, severity=severity, replacement=replacement)


# Chains of edits

TEXT = "one two three four five six seven eight nine"


@st.composite
def marks(draw):
    found = []
    for _ in range(draw(st.integers(0, 12))):
        start = draw(st.integers(0, len(TEXT) - 1))
        end = draw(st.integers(start + 1, len(TEXT)))
        found.append(mark(start, end, draw(st.sampled_from([None, "", "x", "longer text"])), draw(st.sampled_from(list(Severity)))))
    return found


def test_nine_spans_make_nine_improved_versions() -> None:
    starts = [place for place in range(len(TEXT)) if place == 0 or TEXT[place - 1] == " "]
    chain = span_chain(TEXT, [mark(start, start + 3, f"<{start}>") for start in starts])
    assert (len(chain.steps), len(set(chain.texts)), chain.overlapping) == (9, 10, ())
    assert chain.texts[-1] == "<0> <4> <8>ee <14>r <19>e <24> <28>en <34>ht <40>e"


@unhurried
@given(marks(), st.integers(1, 8), st.randoms(use_true_random=False))
def test_a_chain_hangs_on_the_set_of_marks_and_mends_the_gravest_first(given_marks, max_steps, shuffled):
    chain = span_chain(TEXT, given_marks, max_steps)
    assert span_chain(TEXT, shuffled.sample(given_marks, len(given_marks)), max_steps) == chain
    made = [each for step in chain.steps for each in step.marks]
    assert [SEVERITY_WEIGHTS[each.severity] for each in made] == sorted((SEVERITY_WEIGHTS[each.severity] for each in made), reverse=True)
    edits = [each for each in given_marks if each.replacement is not None and each.replacement != TEXT[each.start : each.end]]
    assert len(made) + len(chain.overlapping) == len(edits)
    assert len(chain.steps) <= max_steps
    assert all(one is other or one.end <= other.start or other.end <= one.start for one in made for other in made)
    for skipped in chain.overlapping:
        graver = [each for each in made if each.start < skipped.end and skipped.start < each.end]
        assert max(SEVERITY_WEIGHTS[each.severity] for each in graver) >= SEVERITY_WEIGHTS[skipped.severity]


@unhurried
@given(marks())
def test_the_last_version_has_every_edit_whatever_the_number_of_steps(given_marks):
    assert span_chain(TEXT, given_marks, 1).texts[-1] == span_chain(TEXT, given_marks, 100).texts[-1]
    expected = list(TEXT)
    for each in sorted((each for step in span_chain(TEXT, given_marks).steps for each in step.marks), key=lambda each: -each.start):
        expected[each.start : each.end] = each.replacement or ""
    assert span_chain(TEXT, given_marks).texts[-1] == "".join(expected)


@pytest.mark.parametrize("outside", [(3, 3), (5, 4), (0, len(TEXT) + 1)])
def test_a_mark_outside_of_the_text_is_refused(outside: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="outside the text of 44 characters"):
        span_chain(TEXT, [mark(0, 1, "x").model_copy(update={"start": outside[0], "end": outside[1]})])


# Near-duplicates


@unhurried
@given(st.text(max_size=60), st.text(max_size=60))
def test_similarity_is_symmetric_and_a_share(one, other):
    found = similarity(one, other)
    assert 0.0 <= found <= 1.0
    assert found == similarity(other, one)
    assert (found == 1.0) >= (one.split() == other.split())


@unhurried
@given(st.text("ab \n", max_size=40), st.text("ab \n", max_size=40))
def test_similarity_against_counting_the_pieces(one, other):
    texts = [" ".join(text.split()) for text in (one, other)]
    width = min(SHINGLE, *map(len, texts))
    if texts[0] == texts[1] or not width:
        assert similarity(one, other) == float(texts[0] == texts[1])
        return
    left = [texts[0][place : place + width] for place in range(len(texts[0]) - width + 1)]
    right = [texts[1][place : place + width] for place in range(len(texts[1]) - width + 1)]
    shared = sum(min(left.count(piece), right.count(piece)) for piece in {*left, *right})
    assert similarity(one, other) == pytest.approx(shared / (len(left) + len(right) - shared))


def test_one_word_makes_a_difference_in_a_short_answer_and_none_in_a_long_one() -> None:
    words = random.Random(1).choices(["the", "invoice", "of", "your", "account", "was", "paid", "in", "full", "yesterday"], k=1000)
    changed = [*words[:500], "nobody", *words[501:]]
    assert not are_alike(" ".join(words[450:550]), " ".join(changed[450:550]), 0.98)
    assert are_alike(" ".join(words), " ".join(changed), 0.98)
    assert not are_alike("Your balance is $47.71.", "Your balance is $47.17.", 0.98)
    assert not are_alike("PAY NOW", "pay now", 0.98)


@pytest.mark.parametrize("hostile", ["a" * 200_000, "\u0301" * 200_000, "\x00" * 200_000, "\ud800" * 1000, "1 " * 100_000])
def test_hostile_texts_are_compared_too(hostile: str) -> None:
    assert 0.0 <= similarity(hostile, hostile[:-9] + "other end") < 1.0


# Influence

NAMES = ("ada", "ben", "cleo", "dan", "eve", "finn", "gus")
BACKINGS = st.lists(
    st.builds(
        Backing,
        weight=st.just(0.0) | st.floats(1e-9, 10),  # beside 1.0, what is below a float's resolution may vanish
        reviewers=st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
        appellant=st.none() | st.sampled_from(("s1", "s2", "s3")),
    ),
    max_size=40,
)


def sums(parts):
    """What each party carries, and the number of parties: what nobody is behind is one for each pair."""
    found = defaultdict(list)
    for place, each in enumerate(parts):
        for name, part in each.items():
            if part:
                found[name or f"pair {place}"].append(part)
    return {name: fsum(values) for name, values in found.items()}


@unhurried
@given(BACKINGS, st.floats(0.01, 1.0))
def test_no_reviewer_carries_more_than_the_cap_and_weights_only_fall(pairs, share):
    weights, carried = capped_weights(pairs, share), sums(influence_parts(pairs, share))
    cap = max(share, 2 / max(len(carried), 1))
    assert all(carried.get(name, 0.0) <= cap * fsum(weights) * (1 + 1e-9) for name in NAMES)
    assert all(0 <= new <= old.weight * (1 + 1e-12) for new, old in zip(weights, pairs, strict=True))
    assert all((new > 0) == (old.weight > 0) for new, old in zip(weights, pairs, strict=True))


@unhurried
@given(BACKINGS, st.floats(0.01, 1.0))
def test_no_appellant_carries_more_than_the_cap(pairs, share):
    pairs = [Backing(pair.weight, (), pair.appellant) for pair in pairs]
    weights = capped_weights(pairs, share)
    carried = sums({pair.appellant or "": weight} for pair, weight in zip(pairs, weights, strict=True))
    cap = max(share, 2 / max(len(carried), 1))
    assert all(carried.get(name, 0.0) <= cap * fsum(weights) * (1 + 1e-9) for name in ("s1", "s2", "s3"))


@unhurried
@given(BACKINGS, st.floats(0.01, 1.0), st.randoms(use_true_random=False))
def test_the_order_of_pairs_does_not_matter(pairs, share, shuffled):
    order = shuffled.sample(range(len(pairs)), len(pairs))
    weights = capped_weights(pairs, share)
    assert capped_weights([pairs[place] for place in order], share) == [weights[place] for place in order]


@unhurried
@given(BACKINGS, st.floats(0.01, 1.0))
def test_nobody_is_cut_who_carries_no_more_than_the_median(pairs, share):
    pairs = [Backing(pair.weight, pair.reviewers) for pair in pairs]
    before, after = sums(influence_parts(pairs, 1.0)), sums(influence_parts(pairs, share))
    median = sorted(before.values())[(len(before) - 1) // 2] if before else 0.0
    assert all(after[name] == pytest.approx(carried, rel=1e-9) for name, carried in before.items() if carried <= median)


@unhurried
@given(BACKINGS, st.floats(0.01, 1.0))
def test_what_is_capped_is_not_capped_again(pairs, share):
    pairs = [Backing(pair.weight, pair.reviewers[:1]) for pair in pairs]
    once = capped_weights(pairs, share)
    again = capped_weights([Backing(weight, pair.reviewers) for weight, pair in zip(once, pairs, strict=True)], share)
    assert again == pytest.approx(once, rel=1e-9)


def test_equal_reviewers_are_not_cut_and_one_who_floods_is() -> None:
    panel = [Backing(1.0, (name,)) for name in NAMES[:5]] * 20
    assert capped_weights(panel, 0.2) == [1.0] * 100
    flood = [Backing(1.0, ("mallory",))] * 900
    weights = capped_weights([*panel, *flood], 0.2)
    assert weights[:100] == [1.0] * 100
    assert sum(weights[100:]) == pytest.approx(50.0), "of six parties nobody carries more than a third"


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        capped_weights([], share)
