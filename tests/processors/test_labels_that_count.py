"""Which labels count is the same for all who ask: where labels are collected, where reviewers are judged, and where judges are."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.processors.scenario import START, context, label, ratings, task
from trueloop.labels.rated_completions import LabelsThatCount
from trueloop.processors.collection import PROCESSOR as COLLECTION
from trueloop.processors.reviewers import PROCESSOR as REVIEWERS
from trueloop.reviewers.task_judgements import standing
from trueloop.testing import Clock, ProcessorDriver

LATER = START + timedelta(days=1)
ACTIONS = st.lists(st.tuples(st.sampled_from(["ada", "ben"]), st.sampled_from(["say", "say", "replace", "retract"])), max_size=8)


def scripted(actions: list[tuple[str, str]]) -> list[Any]:
    """Labels as reviewers send them: who replaces or retracts names their own newest label, if there is one."""
    own: dict[str, Any] = {}
    found = []
    for number, (reviewer, action) in enumerate(actions):
        at, known = START + timedelta(minutes=number), own.get(reviewer)
        if action == "retract" and known is None:
            continue
        if action == "retract":
            found.append(label(reviewer, at=at, retracts=known.event_id))
            own.pop(reviewer)
            continue
        refers = {"supersedes": known.event_id} if action == "replace" and known is not None else {}
        own[reviewer] = label(reviewer, at=at, ratings=ratings({"a": {"tone": 1 + number % 5}}), **refers)
        found.append(own[reviewer])
    return found


@given(ACTIONS)
def test_all_come_to_the_same_labels(actions: list[tuple[str, str]]) -> None:
    labels = scripted(actions)
    collection, reviewers, judges = (*(ProcessorDriver(each, context(), Clock(LATER)) for each in (COLLECTION, REVIEWERS)), LabelsThatCount())
    collected, judged = collection.send(task(labels_needed=2)), reviewers.send(task(labels_needed=2))
    for each in labels:
        collected, judged = collection.send(each), reviewers.send(each)
        judges.add(each)
    assert not collection.rejected
    count = {each.event_id for each in collected.state.labels}
    assert {each.label_id for each in standing(judged.state)} == count
    assert {each.event_id for each in judges.of(task().task_id)} == count


@given(ACTIONS, st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_read_plays_no_part(actions: list[tuple[str, str]], chance: Any) -> None:
    labels = scripted(actions)
    known, shuffled = LabelsThatCount(), LabelsThatCount()
    for each in labels:
        known.add(each)
    for each in chance.sample(labels, len(labels)):
        shuffled.add(each)
    assert {each.event_id for each in known.of(task().task_id)} == {each.event_id for each in shuffled.of(task().task_id)}
