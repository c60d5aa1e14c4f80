"""Splits by clusters of prompts: what is alike is on one side, and both sides get enough."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueloop.events import Message, Role, Split
from trueloop.sampling.splits import cluster_of, split_of, template_of

unhurried = settings(max_examples=60)
TEMPLATES = ("Why was I billed ${} on {}?", "Order {} of {}:\nwhere is it?", "Cancel {} {}", "My IBAN {} is wrong since {}")
FILLED = st.builds(
    lambda template, one, other, shout: (template, template.format(one, other).upper() if shout else template.format(one, other)),
    st.sampled_from(TEMPLATES),
    st.from_regex(r"[0-9]{1,6}([.,][0-9]{2})?|[A-Z]{2}[0-9]{3,8}", fullmatch=True),
    st.from_regex(r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}|id-[0-9]{4}", fullmatch=True),
    st.booleans(),
)


def asked(*texts: str) -> list[Message]:
    return [Message(role=(Role.USER, Role.ASSISTANT)[place % 2], content=text) for place, text in enumerate(texts)]


@unhurried
@given(st.lists(FILLED, min_size=2, max_size=30), st.floats(0, 1))
def test_prompts_of_one_template_are_never_in_both_splits(prompts, share):
    sides: dict[str, set[Split]] = {}
    for template, text in prompts:
        # 'id-7' has a word that 3.4.2026 has not: another shape of the same template is another cluster.
        shape = (template, template_of(text))
        sides.setdefault(str(shape), set()).add(split_of(cluster_of(asked(text), {}, "template"), share))
    assert all(len(each) == 1 for each in sides.values())
    assert len(sides) <= 2 * 3 * len(TEMPLATES)


@unhurried
@given(st.lists(st.sampled_from(["hello", "and then?", "I see.", "why?"]), min_size=1, max_size=7), st.integers(1, 7))
def test_the_turns_of_a_conversation_are_held_out_together(turns, length):
    whole = cluster_of(asked(*turns), {}, "conversation")
    assert cluster_of(asked(*turns[: max(1, length)]), {}, "conversation") == whole


def test_a_slice_is_held_out_as_a_whole_and_a_prompt_without_it_by_itself() -> None:
    one, other = asked("one"), asked("other")
    assert cluster_of(one, {"subject": "s1"}, "slice:subject") == cluster_of(other, {"subject": "s1"}, "slice:subject")
    assert cluster_of(one, {"subject": "s1"}, "slice:subject") != cluster_of(one, {"subject": "s2"}, "slice:subject")
    assert cluster_of(one, {}, "slice:subject") == cluster_of(one, {}, "prompt")


def test_both_splits_get_their_share_of_templates() -> None:
    clusters = {cluster_of(asked(f"{chr(97 + n % 26)}{chr(97 + n // 26)} costs {n}"), {}, "template") for n in range(600)}
    held_out = sum(split_of(cluster, 0.3) is Split.CALIBRATION for cluster in clusters)
    assert len(clusters) == 600
    assert 0.24 < held_out / 600 < 0.36


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("I was billed $4.71", "i was billed  $1,250", True),
        ("since 2026-03-01", "since 1.4.26", True),
        ("order A17x", "order 9", True),
        ("refund me", "refund you", False),
        ("", "   ", True),
    ],
)
def test_what_a_template_is(one: str, other: str, alike: bool) -> None:
    assert (template_of(one) == template_of(other)) is alike


@pytest.mark.parametrize("split_by", ["", "templates", "slice"])
def test_another_way_to_split_is_refused(split_by: str) -> None:
    with pytest.raises(ValueError, match="expected 'prompt', 'template', 'conversation' or 'slice:NAME'"):
        cluster_of(asked("one"), {}, split_by)
