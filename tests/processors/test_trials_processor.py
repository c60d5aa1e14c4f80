"""People as evaluators: from what a trainer puts on trial to blind tasks, from labels to outcomes."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.processors.scenario import KEY, START, context, label, policy, prefers, ratings
from trueloop.events import (
    ItemTruth,
    Label,
    Message,
    Preference,
    ReviewTask,
    Role,
    SamplingReason,
    Split,
    StandingVoice,
    Trial,
    TrialOutcome,
    TrialVerdict,
    derive_id,
    trial_task_id,
)
from trueloop.processors.collection import PROCESSOR as COLLECTION
from trueloop.processors.reviewers import PROCESSOR as REVIEWERS
from trueloop.processors.trials import PROCESSOR
from trueloop.sampling.blinding import candidate_id
from trueloop.testing import ProcessorDriver
from trueloop.topics import AGREEMENT_UNITS, DRIFT_OBSERVATIONS, PREFERENCE_PAIRS, REVIEW_QUEUE, TRIAL_OUTCOMES, TRUTHS

OURS, THEIRS = "what the candidate said", "what the baseline said"


def people(senior: str | None = "seniors", dimension: str = "overall", **changes: Any) -> dict[str, Any]:
    """A gate that asks people."""
    return {
        "dimensions": [{"dimension": dimension, "evaluator": "people", "max_regression": 0.1}],
        "people": {"labels_needed": 2, "pool": "panel", "senior_pool": senior, **changes},
    }


def trial(number: int = 1) -> Trial:
    return Trial(
        event_id=f"trial-event-{number}", occurred_at=START, application="support", trial_id=f"trial-{number}", evaluation_id="evaluation", item_id="item",
        policy_id="support", policy_version=1, prompt_hash="prompt", slices={"locale": "de"}, messages=[Message(role=Role.USER, content="question")],
        candidate_answer=OURS, baseline_answer=THEIRS,
    )  # fmt: skip


def outcome(verdict: TrialVerdict, **changes: Any) -> TrialOutcome:
    values: dict[str, Any] = {
        "event_id": "o", "occurred_at": START, "application": "support", "trial_id": "trial-1", "evaluation_id": "evaluation", "task_id": "t",
        "senior": False, "dimension": "overall", "verdict": verdict, "revision": 2,
    }  # fmt: skip
    return TrialOutcome(**values | changes)


def asked(gate: Mapping[str, Any] | None = None) -> ProcessorDriver:
    run = ProcessorDriver(PROCESSOR, context(policy(gate=gate or people())))
    run.send(trial())
    return run


def test_a_trial_becomes_a_blind_task_outside_the_population() -> None:
    (task,) = asked().out_of(REVIEW_QUEUE)
    assert (task.form, task.pool, task.labels_needed, task.reasons, task.stratum) == ("PAIRWISE", "panel", 2, [SamplingReason.TRIAL], "trial")
    assert (task.in_population, task.trainable, task.split) == (False, False, Split.CALIBRATION)
    assert {candidate.completion for candidate in task.candidates} == {OURS, THEIRS}
    assert task.due_at == START + timedelta(days=1)


def test_neither_ids_nor_order_tell_which_answer_is_whose() -> None:
    run = ProcessorDriver(PROCESSOR, context(policy(gate=people())))
    for number in range(200):
        run.send(trial(number))
    tasks = run.out_of(REVIEW_QUEUE)
    first = sum(task.candidates[0].completion == OURS for task in tasks)
    smaller = sum(min(task.candidates, key=lambda each: each.candidate_id).completion == OURS for task in tasks)
    assert 70 <= first <= 130
    assert 70 <= smaller <= 130
    assert len({candidate.candidate_id for task in tasks for candidate in task.candidates}) == 400
    # Without the key, what the task itself says does not give the ids.
    known = [task.model_dump_json(exclude={"candidates"}) for task in tasks]
    assert not any(candidate_id("", task.task_id, 0) in {each.candidate_id for each in task.candidates} for task in tasks)
    assert not any(word in text for text in known for word in ("candidate_answer", OURS, THEIRS))


def test_a_trial_is_put_before_people_once_however_often_it_comes() -> None:
    run = asked()
    run.send(trial())
    assert len(run.out_of(REVIEW_QUEUE)) == 1
    assert run.replay() == []
    assert run.outcomes == {"task_opened": 1, "duplicate": 3}


@pytest.mark.parametrize("split_first", [False, True])
def test_a_split_opens_one_senior_task_in_another_order_of_its_own(split_first: bool) -> None:
    run = ProcessorDriver(PROCESSOR, context(policy(gate=people())))
    for event in [outcome(TrialVerdict.SPLIT), trial()][:: 1 if split_first else -1]:
        run.send(event)
    run.send(outcome(TrialVerdict.SPLIT, event_id="again", revision=4))
    first, senior = run.out_of(REVIEW_QUEUE)
    assert (senior.pool, senior.labels_needed, senior.trial.senior) == ("seniors", 1, True)
    assert senior.task_id != first.task_id
    assert not {each.candidate_id for each in senior.candidates} & {each.candidate_id for each in first.candidates}


def test_what_is_decided_and_what_seniors_say_opens_nothing() -> None:
    run = asked()
    run.send(outcome(TrialVerdict.CANDIDATE))
    run.send(outcome(TrialVerdict.SPLIT, senior=True))
    assert len(run.out_of(REVIEW_QUEUE)) == 1


class Panel:
    """Collection and reviewers with one trial's task, and people who answer it knowing whose answer is whose."""

    def __init__(self, gate: Mapping[str, Any] | None = None, *, senior: bool = False, **sections: Any) -> None:
        governed = context(policy(gate=gate or people(), **sections))
        run = ProcessorDriver(PROCESSOR, governed)
        run.send(trial())
        run.send(outcome(TrialVerdict.SPLIT))
        tasks: dict[bool, ReviewTask] = {task.trial.senior: task for task in run.out_of(REVIEW_QUEUE)}
        self.task = tasks[senior]
        self.ours, self.theirs = (candidate_id(KEY, self.task.task_id, index) for index in (0, 1))
        self.collection, self.reviewers = ProcessorDriver(COLLECTION, governed), ProcessorDriver(REVIEWERS, governed)
        for each in (self.collection, self.reviewers):
            each.send(self.task)

    def say(self, reviewer: str, *, minutes: int = 5, weight: float | None = None, **said: Any) -> Label:
        """Label the task, and tell collection what the reviewers worker makes of it; `weight` overrules what the reviewer weighs."""
        given = label(reviewer, at=START + timedelta(minutes=minutes), **said)
        given = given.model_copy(update={"task_id": self.task.task_id, "event_id": derive_id("label", reviewer, self.task.task_id, str(minutes))})
        seen = len(self.reviewers.out_of(TRUTHS))
        for each in (self.reviewers, self.collection):
            each.send(given)
        for truth in self.reviewers.out_of(TRUTHS)[seen:]:
            self.collection.send(_weighing(truth, reviewer, weight))
        return given

    @property
    def told(self) -> list[str]:
        return [event.verdict.value for event in self.collection.out_of(TRIAL_OUTCOMES)]


def _weighing(truth: ItemTruth, reviewer: str, weight: float | None) -> ItemTruth:
    if weight is None:
        return truth
    voices: Sequence[StandingVoice] = [voice.model_copy(update={"weight": weight}) if voice.reviewer_id == reviewer else voice for voice in truth.labels]
    return truth.model_copy(update={"labels": voices})


def test_the_side_with_most_of_the_weight_wins_once_the_labels_are_there() -> None:
    run = Panel()
    run.say("r1", preferences=prefers(run.ours))
    assert run.told == []
    run.say("r2", preferences=prefers(run.ours))
    assert run.told == ["CANDIDATE"]
    (found,) = run.collection.out_of(TRIAL_OUTCOMES)
    assert (found.trial_id, found.evaluation_id, found.senior, found.dimension, len(found.label_ids)) == ("trial-1", "evaluation", False, "overall", 2)


def test_no_adjudicator_is_asked_beside_the_senior() -> None:
    run = Panel(people(labels_needed=2), reviewers={"adjudicators": "judges", "adjudicate_below": 0.99})
    run.say("r1", preferences=prefers(run.ours))
    run.say("r2", preferences=prefers(run.theirs))
    assert run.reviewers.out_of(TRUTHS)[-1].adjudicate
    assert run.told == ["SPLIT"]
    assert not run.collection.out_of(REVIEW_QUEUE)


def test_a_trial_counts_nowhere_else() -> None:
    run = Panel()
    for reviewer in ("r1", "r2"):
        run.say(reviewer, preferences=prefers(run.ours), ratings=ratings({run.ours: {"tone": 5}, run.theirs: {"tone": 1}}))
    assert not [*run.collection.out_of(AGREEMENT_UNITS), *run.collection.out_of(DRIFT_OBSERVATIONS), *run.collection.out_of(PREFERENCE_PAIRS)]


def test_a_split_and_two_ties_go_to_a_senior_or_count_as_ties_where_there_is_none() -> None:
    for first, second in (("ours", "theirs"), (None, None), ("ours", None)):
        for senior, expected in (("seniors", "SPLIT"), (None, "TIE")):
            run = Panel(people(senior))
            for reviewer, side in (("r1", first), ("r2", second)):
                run.say(reviewer, preferences=prefers(None if side is None else getattr(run, side)))
            assert run.told == [expected]


def test_a_senior_ends_it_whatever_they_say() -> None:
    for side, expected in (("ours", "CANDIDATE"), ("theirs", "BASELINE"), (None, "TIE")):
        run = Panel(senior=True)
        run.say("chief", preferences=prefers(None if side is None else getattr(run, side)))
        assert run.told == [expected]
        assert run.collection.out_of(TRIAL_OUTCOMES)[0].senior


def test_who_weighs_nothing_decides_nothing() -> None:
    alone = Panel(people(None, labels_needed=1))
    alone.say("quarantined", preferences=prefers(alone.ours), weight=0.0)
    assert alone.told == []
    run = Panel(people(None))
    run.say("r1", preferences=prefers(run.ours))
    run.say("quarantined", preferences=prefers(run.theirs), weight=0.0)
    assert run.told == ["CANDIDATE"]


def test_until_it_is_told_what_reviewers_weigh_nothing_is_said() -> None:
    run = Panel(people(labels_needed=1))
    given = label("r1", preferences=prefers(run.ours)).model_copy(update={"task_id": run.task.task_id})
    run.collection.send(given)
    assert run.told == []


def test_an_edited_label_is_told_anew_and_a_retraction_opens_the_trial_again() -> None:
    run = Panel(people(labels_needed=1))
    first = run.say("r1", preferences=prefers(run.ours))
    second = run.say("r1", minutes=6, preferences=prefers(run.theirs), supersedes=first.event_id)
    assert run.told == ["CANDIDATE", "OPEN", "BASELINE"]
    run.say("r1", minutes=7, retracts=second.event_id)
    assert run.told[-1] == "OPEN"
    revisions = [event.revision for event in run.collection.out_of(TRIAL_OUTCOMES)]
    assert revisions == sorted(revisions)


def test_a_replay_of_labels_and_truths_says_nothing_again() -> None:
    run = Panel()
    run.say("r1", preferences=prefers(run.ours))
    run.say("r2", preferences=prefers(run.ours))
    state = run.collection.state(run.task.task_id)
    assert run.collection.replay() == []
    assert run.collection.state(run.task.task_id) == state


def test_a_task_of_another_key_is_not_guessed_at() -> None:
    run = Panel(people(labels_needed=1))
    foreign = ProcessorDriver(COLLECTION, context(policy(gate=people(labels_needed=1))))
    names = [each.model_copy(update={"candidate_id": derive_id("other", each.candidate_id)}) for each in run.task.candidates]
    foreign.send(run.task.model_copy(update={"candidates": names}))
    foreign.send(label("r1", preferences=prefers(names[0].candidate_id)).model_copy(update={"task_id": run.task.task_id}))
    assert not foreign.out_of(TRIAL_OUTCOMES)
    assert foreign.drops == {"trial_of_another_key": 1}


@pytest.mark.parametrize(
    ("dimension", "said", "expected"),
    [
        ("overall", lambda a, b: {"preferences": [Preference(dimension="tone", preferred=a), Preference(dimension="safety", preferred=b)]}, "BASELINE"),
        ("overall", lambda a, b: {"ratings": ratings({a: {"tone": 5}, b: {"tone": 3}})}, "CANDIDATE"),
        ("tone", lambda a, b: {"preferences": [Preference(dimension="tone", preferred=a), Preference(dimension=None, preferred=b)]}, "CANDIDATE"),
        ("tone", lambda a, b: {"ratings": ratings({a: {"tone": 2}, b: {"tone": 3}})}, "BASELINE"),
        ("tone", lambda a, b: {"ratings": ratings({a: {"tone": 3}, b: {"tone": 3}})}, "TIE"),
    ],
)
def test_a_label_speaks_by_its_preference_or_else_by_its_ratings(dimension: str, said: Any, expected: str) -> None:
    run = Panel(people(None, dimension, labels_needed=1))
    run.say("r1", **said(run.ours, run.theirs))
    assert run.told == [expected]


def test_a_label_that_does_not_speak_of_the_dimension_decides_nothing() -> None:
    run = Panel(people(None, "tone", labels_needed=1))
    run.say("r1", preferences=prefers(run.ours, "accuracy"))
    assert run.told == []


# A senior who was among the reviewers ---------------------------------------------------------------------------------------------------------------


class Bench:
    """Both tasks of a trial before one reviewers worker and one collection, whose truths are told as they come."""

    def __init__(self) -> None:
        governed = context(policy(gate=people(labels_needed=2)))
        self.trials, self.collection, self.reviewers = (ProcessorDriver(each, governed) for each in (PROCESSOR, COLLECTION, REVIEWERS))
        self._passed = {REVIEW_QUEUE: 0, TRUTHS: 0, TRIAL_OUTCOMES: 0}
        self.trials.send(trial())
        self._pass_on()

    def _pass_on(self) -> None:
        routes = ((REVIEW_QUEUE, self.trials, (self.collection, self.reviewers)), (TRUTHS, self.reviewers, (self.collection,)))
        for topic, source, readers in (*routes, (TRIAL_OUTCOMES, self.collection, (self.trials,))):
            told = source.out_of(topic)[self._passed[topic] :]
            self._passed[topic] += len(told)
            for event in told:
                for reader in readers:
                    reader.send(event)
            if told:
                self._pass_on()

    def say(self, reviewer: str, side: int, *, senior: bool = False, minutes: int = 5, **said: Any) -> Label:
        """Label one of the two tasks: 0 prefers the candidate, 1 the baseline."""
        task_id = trial_task_id("trial-1", senior=senior)
        said = said or {"preferences": prefers(candidate_id(KEY, task_id, side))}
        given = label(reviewer, at=START + timedelta(minutes=minutes), **said)
        given = given.model_copy(update={"task_id": task_id, "event_id": derive_id("label", reviewer, task_id, str(minutes))})
        for each in (self.reviewers, self.collection):
            each.send(given)
        self._pass_on()
        return given

    def split(self) -> "Bench":
        self.say("ada", 0)
        self.say("ben", 1)
        return self

    @property
    def of_seniors(self) -> list[str]:
        return [event.verdict.value for event in self.collection.out_of(TRIAL_OUTCOMES) if event.senior]


@pytest.mark.parametrize("name", ["ada", "ben"])
def test_who_was_among_the_reviewers_does_not_settle_the_trial_as_a_senior(name: str) -> None:
    run = Bench().split()
    run.say(name, 0, senior=True)
    assert run.of_seniors == []
    assert run.collection.drops == {"senior_was_reviewer": 1}
    run.say("chief", 1, senior=True, minutes=9)
    assert run.of_seniors == ["BASELINE"], "another senior does, and the first one's word weighs nothing in it"
    assert run.collection.drops == {"senior_was_reviewer": 1}
    assert run.collection.replay() == run.reviewers.replay() == []


def test_who_was_not_among_the_reviewers_settles_it() -> None:
    run = Bench().split()
    run.say("chief", 0, senior=True)
    assert (run.of_seniors, run.collection.drops) == (["CANDIDATE"], {})


def test_a_senior_who_reviews_the_trial_afterwards_takes_the_own_word_back() -> None:
    run = Bench().split()
    run.say("chief", 0, senior=True)
    run.say("chief", 0, minutes=9)
    assert run.of_seniors == ["CANDIDATE", "OPEN"]
    assert run.collection.drops == {"senior_was_reviewer": 1}


def test_a_reviewer_who_took_the_label_back_may_settle_it_as_a_senior() -> None:
    run = Bench()
    given = run.say("ada", 0)
    run.say("ben", 1)
    run.say("ada", 0, senior=True, minutes=8)
    assert run.of_seniors == []
    run.say("ada", 0, minutes=9, retracts=given.event_id)
    assert run.of_seniors == ["CANDIDATE"]


def test_the_reviewers_of_a_trial_are_heard_whoever_answers_as_a_senior() -> None:
    """A senior involves nobody else: what reviewers decide among themselves still counts."""
    run = Bench().split()
    run.say("chief", 1, senior=True)
    run.say("cleo", 0, minutes=9)
    (*_, newest) = [event for event in run.collection.out_of(TRIAL_OUTCOMES) if not event.senior]
    assert newest.verdict is TrialVerdict.CANDIDATE
