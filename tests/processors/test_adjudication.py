"""An adjudicator is asked once about what reviewers leave open, and decides it: from the truth that needs one to the pair that follows."""

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from tests.processors.scenario import START, context, label, policy, prefers, ratings, task
from trueloop.events import Event, GoldAnswer, ItemTruth, Label, PreferencePair, Rating, ReviewForm, ReviewTask, SamplingReason, TrialReference
from trueloop.processors import collection, reviewers
from trueloop.processors.processor import Source
from trueloop.reviewers.adjudication import adjudication_id
from trueloop.reviewers.expectation_maximisation import COMPETENCE
from trueloop.reviewers.involvement import Involvement, TraceTask
from trueloop.testing import Clock, ProcessorDriver
from trueloop.topics import AGREEMENT_UNITS, DRIFT_OBSERVATIONS, PREFERENCE_PAIRS, REVIEW_QUEUE, TRUTHS

LATER = START + timedelta(days=400)
ASKED = {"reviewers": {"adjudicators": "seniors"}}


class Loop:
    """The reviewers worker and collection, each fed with what the other says."""

    def __init__(self, **sections: Any) -> None:
        self.review, self.collect = (ProcessorDriver(each.PROCESSOR, context(policy(**sections)), Clock(LATER)) for each in (reviewers, collection))
        self._taken = {TRUTHS: 0, REVIEW_QUEUE: 0}

    def send(self, *events: Event) -> "Loop":
        for event in events:
            for driver in (self.collect, self.review):
                driver.send(event)
            self._pass_on()
        return self

    def _pass_on(self) -> None:
        for topic, driver in ((TRUTHS, self.review), (REVIEW_QUEUE, self.collect)):
            told = driver.out_of(topic)[self._taken[topic] :]
            self._taken[topic] += len(told)
            for event in told:
                self.collect.send(event)
                if topic is REVIEW_QUEUE:
                    self.review.send(event)
            if told:
                self._pass_on()

    @property
    def asked(self) -> list[ReviewTask]:
        return self.collect.out_of(REVIEW_QUEUE)

    @property
    def truth(self) -> ItemTruth:
        return last(self.review.out_of(TRUTHS), "task-1")

    @property
    def pair(self) -> PreferencePair:
        found: PreferencePair = self.collect.out_of(PREFERENCE_PAIRS)[-1]
        return found


def last(truths: Sequence[ItemTruth], task_id: str) -> ItemTruth:
    return [truth for truth in truths if truth.task_id == task_id][-1]


def says(reviewer: str, value: int, minute: int = 1, **changes: Any) -> Label:
    """A label that finds candidate a right (1) and b wrong, or the reverse (0)."""
    said = ratings({"a": {"accuracy": value}, "b": {"accuracy": 1 - value}})
    return label(reviewer, **({"at": START + timedelta(minutes=minute), "ratings": said} | changes))


def decides(reviewer: str, asked: ReviewTask, value: int, **changes: Any) -> Label:
    return says(reviewer, value, 600, task_id=asked.task_id, **changes)


def unit(truth: ItemTruth, candidate: str | None = "a", dimension: str = "accuracy") -> Any:
    return next(each for each in truth.units if (each.dimension, each.candidate_id) == (dimension, candidate))


DIVIDED = (says("ada", 1), says("ben", 0))
"""Two reviewers who say the opposite."""


# Who is asked, and what -----------------------------------------------------------------------------------------------------------------------------


def test_a_trial_is_put_before_nobody_here() -> None:
    """It has a senior of its own."""
    trial = task(trial=TrialReference(trial_id="trial-1", evaluation_id="evaluation-1", senior=False), reasons=[SamplingReason.TRIAL])
    assert Loop(**ASKED).send(trial, *DIVIDED).asked == []


def test_a_task_that_stays_open_is_put_before_the_pool_once() -> None:
    loop = Loop(**ASKED).send(task(), DIVIDED[0])
    assert loop.asked == []
    loop.send(DIVIDED[1], says("cleo", 1), says("dan", 0))
    (asked,) = loop.asked
    assert (asked.pool, asked.adjudicates, asked.labels_needed, asked.reasons) == ("seniors", "task-1", 1, [SamplingReason.ADJUDICATION])
    assert (asked.task_id, asked.trace_id, asked.form, asked.in_population) == (adjudication_id("support", "task-1"), "trace-1", ReviewForm.RATING, False)
    assert {each.candidate_id: each.completion for each in asked.candidates} == {each.candidate_id: each.completion for each in task().candidates}
    assert asked.occurred_at == loop.truth.occurred_at
    assert (asked.messages, asked.rubric_hash, asked.split, asked.trainable) == (task().messages, task().rubric_hash, task().split, task().trainable)
    assert loop.collect.replay() == []


def test_nobody_is_asked_without_a_pool_and_about_what_is_clear() -> None:
    assert Loop().send(task(), *DIVIDED).asked == []
    assert Loop(**ASKED).send(task(), says("ada", 1), says("ben", 1)).asked == []


def test_redelivery_before_the_state_was_written_asks_the_same() -> None:
    first, second = Loop(**ASKED).send(task(), *DIVIDED), Loop(**ASKED).send(task(), *DIVIDED)
    assert first.asked == second.asked


@pytest.mark.parametrize("form", [ReviewForm.PAIRWISE, ReviewForm.REWRITE, ReviewForm.SPAN])
def test_what_is_asked_is_a_decision(form: ReviewForm) -> None:
    (asked,) = Loop(**ASKED).send(task(form=form), *DIVIDED).asked
    assert asked.form is (ReviewForm.PAIRWISE if form is ReviewForm.PAIRWISE else ReviewForm.RATING)


def test_the_order_is_drawn_anew() -> None:
    orders = set()
    for number in range(1, 20):
        said = [says(name, value, task_id=f"task-{number}") for name, value in (("ada", 1), ("ben", 0))]
        (asked,) = Loop(**ASKED).send(task(number), *said).asked
        orders.add(tuple(candidate.candidate_id for candidate in asked.candidates))
    assert orders == {("a", "b"), ("b", "a")}


def test_a_truth_that_is_read_before_its_task_is_not_forgotten() -> None:
    whole = Loop(**ASKED).send(task(), *DIVIDED)
    alone = ProcessorDriver(collection.PROCESSOR, context(policy(**ASKED)), Clock(LATER))
    for truth in whole.review.out_of(TRUTHS):
        alone.send(truth)
    assert alone.out_of(REVIEW_QUEUE) == []
    alone.send(task())
    assert alone.out_of(REVIEW_QUEUE) == whole.asked


# What the word of an adjudicator does ----------------------------------------------------------------------------------------------------------------


def test_the_pair_and_the_truth_follow_the_adjudicator() -> None:
    loop = Loop(**ASKED).send(task(), says("ada", 1), says("ben", 1), says("cleo", 0), says("dan", 0))
    (asked,) = loop.asked
    word = decides("senior", asked, 0)
    loop.send(word)
    found = unit(loop.truth)
    assert (found.decided, found.mean, found.n_labels, found.probabilities) == (0, 0.0, 1, [COMPETENCE, pytest.approx(1 - COMPETENCE)])
    assert [(voice.reviewer_id, voice.weight, voice.label_id) for voice in loop.truth.adjudicators] == [("senior", 1.0, word.event_id)]
    assert not loop.truth.adjudicate
    assert len(loop.truth.labels) == 4  # what they said stays
    assert (loop.pair.chosen, loop.pair.rejected, loop.pair.withdrawn) == ("text b", "text a", False)
    assert (loop.pair.label_ids, loop.pair.reviewers, loop.pair.weight) == ([word.event_id], ["senior"], 1.0)
    assert loop.pair.p_correct == pytest.approx(COMPETENCE**2, abs=1e-6)
    assert {pair.task_id for pair in loop.collect.out_of(PREFERENCE_PAIRS)} == {"task-1"}  # the adjudication gives none of its own
    assert loop.collect.replay() == loop.review.replay() == []


def test_agreement_and_drift_stay_what_the_reviewers_said() -> None:
    without = Loop().send(task(), *DIVIDED)
    loop = Loop(**ASKED).send(task(), *DIVIDED)
    loop.send(decides("senior", loop.asked[0], 0))
    for topic in (AGREEMENT_UNITS, DRIFT_OBSERVATIONS):
        assert loop.collect.out_of(topic) == without.collect.out_of(topic)


def test_an_adjudicator_is_right_as_often_as_is_known_of_them() -> None:
    loop = Loop(**ASKED)
    for number in range(2, 12):
        known = [Rating(candidate_id="a", dimension="accuracy", value=1)]
        loop.review.send(task(number))
        loop.review.send(
            GoldAnswer(
                event_id=f"gold-{number}",
                occurred_at=START,
                application="support",
                task_id=f"task-{number}",
                rubric_id="support",
                rubric_version=1,
                ratings=known,
            )
        )
        loop.review.send(says("senior", int(number > 2), number, task_id=f"task-{number}"))
    loop.send(task(), *DIVIDED)
    loop.send(decides("senior", loop.asked[0], 1))
    right = (9 + 1) / (10 + 2)  # nine of ten, after the prior of one right and one wrong
    assert unit(loop.truth).probabilities == [pytest.approx(1 - right, abs=1e-6), pytest.approx(right, abs=1e-6)]


def test_who_takes_the_word_back_leaves_what_the_reviewers_said() -> None:
    loop = Loop(**ASKED).send(task(), *DIVIDED)
    before = loop.truth
    word = decides("senior", loop.asked[0], 0)
    loop.send(word)
    assert loop.pair.chosen == "text b"
    loop.send(label("senior", task_id=word.task_id, retracts=word.event_id, at=LATER))
    assert (loop.truth.units, loop.truth.adjudicate, loop.truth.adjudicators) == (before.units, True, [])
    assert loop.pair.withdrawn
    assert len(loop.asked) == 1


@pytest.mark.parametrize("name", ["ada", "ben"])
def test_who_labelled_the_task_does_not_settle_it(name: str) -> None:
    loop = Loop(**ASKED).send(task(), *DIVIDED)
    loop.send(decides(name, loop.asked[0], 0))
    assert [(voice.reviewer_id, voice.involved, voice.weight) for voice in loop.truth.adjudicators] == [(name, True, 0.0)]
    assert loop.truth.weights() == {"ada": 1.0, "ben": 1.0}
    assert (loop.truth.adjudicate, unit(loop.truth).decided) == (True, None)
    assert loop.collect.out_of(PREFERENCE_PAIRS) == []


def test_who_labels_the_task_afterwards_takes_the_own_decision_back() -> None:
    loop = Loop(**ASKED).send(task(), *DIVIDED)
    loop.send(decides("senior", loop.asked[0], 0))
    assert unit(loop.truth).decided == 0
    loop.send(says("senior", 0, 700))
    assert (unit(loop.truth).decided, [voice.involved for voice in loop.truth.adjudicators]) == (None, [True])


def test_only_what_was_decided_is_settled() -> None:
    open_too = [
        label(name, ratings=ratings({"a": {"accuracy": value, "tone": 1 + value}, "b": {"accuracy": 1 - value, "tone": 2 - value}}))
        for name, value in (("ada", 1), ("ben", 0))
    ]
    loop = Loop(**ASKED).send(task(), *open_too)
    loop.send(decides("senior", loop.asked[0], 1))
    assert {(each.dimension, each.candidate_id): each.decided for each in loop.truth.units} == {
        ("accuracy", "a"): 1, ("accuracy", "b"): 0, ("tone", "a"): None, ("tone", "b"): None,
    }  # fmt: skip
    assert loop.truth.adjudicate  # nobody decided on the tone
    assert loop.pair.chosen == "text a"
    assert len(loop.pair.label_ids) == 3


def test_a_preference_is_read_in_the_order_in_which_it_was_displayed() -> None:
    for number in range(1, 9):
        said = [label(name, number, preferences=prefers(candidate)) for name, candidate in (("ada", "a"), ("ben", "b"))]
        loop = Loop(**ASKED).send(task(number, form=ReviewForm.PAIRWISE), *said)
        (asked,) = loop.asked
        loop.send(label("senior", task_id=asked.task_id, preferences=prefers("b"), at=LATER))
        found = unit(last(loop.review.out_of(TRUTHS), f"task-{number}"), None, "overall")
        assert (found.decided, found.categories[found.probabilities.index(max(found.probabilities))]) == (1, 1)
        assert loop.pair.chosen == "text b"


def test_two_adjudicators_who_differ_decide_by_what_each_is_worth() -> None:
    loop = Loop(**ASKED)
    for number in range(2, 12):
        loop.review.send(task(number))
        for name, value in (("senior", 1), ("good", 1), ("bad", 0)):
            loop.review.send(says(name, value, number, task_id=f"task-{number}"))
    loop.send(task(), *DIVIDED)
    loop.send(decides("bad", loop.asked[0], 1), decides("good", loop.asked[0], 0))
    assert unit(loop.truth).decided == 0
    assert loop.pair.chosen == "text b"


def test_known_answers_still_give_no_pair() -> None:
    loop = Loop(**ASKED).send(task(), *DIVIDED)
    loop.collect.send(
        GoldAnswer(event_id="gold", occurred_at=START, application="support", task_id="task-1", rubric_id="support", rubric_version=1,
                   ratings=[Rating(candidate_id="a", dimension="accuracy", value=1)])
    )  # fmt: skip
    loop.send(decides("senior", loop.asked[0], 1))
    assert loop.collect.out_of(PREFERENCE_PAIRS) == []


def test_a_word_that_was_not_asked_for_settles_nothing() -> None:
    loop = Loop(**ASKED).send(task(), *DIVIDED)
    (asked,) = loop.asked
    forged = asked.model_copy(update={"task_id": "forged", "event_id": "forged"})
    itself = task(7, task_id="own", adjudicates="own", reasons=[SamplingReason.ADJUDICATION])
    loop.send(forged, itself, decides("crook", forged, 0), decides("crook", itself, 0))
    assert (loop.truth.adjudicators, unit(loop.truth).decided) == ([], None)


# However it comes ------------------------------------------------------------------------------------------------------------------------------------


def told_by(events: Iterable[Event], *, batched: bool = False, restart_at: int | None = None) -> ItemTruth:
    run = ProcessorDriver(reviewers.PROCESSOR, context(policy(**ASKED)), Clock(LATER))
    if batched:
        with run.batch():
            for event in events:
                run.send(event)
    else:
        for place, event in enumerate(events):
            if place == restart_at:
                run.restart()
            run.send(event)
    assert run.replay() == []
    return last(run.out_of(TRUTHS), "task-1")


def test_the_truth_is_the_same_in_whatever_order_and_batches_it_comes() -> None:
    asked = Loop(**ASKED).send(task(), *DIVIDED).asked[0]
    events = [task(), *DIVIDED, asked, decides("senior", asked, 0)]
    expected = told_by(events)
    assert unit(expected).decided == 0
    for order in permutations(events):
        assert told_by(order) == expected
    for seed in range(5):
        shuffled = random.Random(seed).sample(events, len(events))
        assert told_by(shuffled, batched=True) == told_by(shuffled, restart_at=seed) == expected


def test_the_word_counts_that_comes_when_the_task_has_left_the_window() -> None:
    loop = Loop(**ASKED).send(task(), *DIVIDED)
    (asked,) = loop.asked
    loop.review.send(task(9))
    loop.review.send(label("eve", 9, ratings=ratings({"a": {"accuracy": 1}})), source=Source("labels", 0, 50_000))
    loop.review.restart()
    loop.review.send(label("eve", 9, ratings=ratings({"b": {"accuracy": 1}}), at=START + timedelta(hours=2)), source=Source("labels", 0, 50_001))
    loop.review.send(decides("senior", asked, 0), source=Source("labels", 0, 50_002))
    assert unit(loop.truth).decided == 0


def test_who_settles_an_appeal_is_involved_in_other_tasks_of_the_trace_and_its_reviewers_are_not() -> None:
    found = Involvement()
    found.replace("sampled", TraceTask("trace", False, frozenset({"ada"})))
    found.replace("appeal", TraceTask("trace", True, frozenset({"ben"})))
    found.replace("word", TraceTask("trace", False, frozenset({"senior", "ada"}), "appeal"))
    assert found.involved("appeal") == {"ada"}  # not the senior, who settles it
    assert found.involved("word") == {"ada", "ben"}
    assert found.involved("sampled") == frozenset()
    assert set(found.replace("appeal", TraceTask("trace", True, frozenset({"cleo"})))) == {"word"}
    assert found.involved("word") == {"ada", "cleo"}
