"""Where pairs come from, and what gives none: edits of spans, near-duplicates, known answers, and appeals."""

from datetime import timedelta
from itertools import permutations
from math import fsum
from typing import Any

import pytest

from tests.processors.scenario import KEY, START, context, label, policy, prefers, ratings, task
from trueloop.events import Appeal, Candidate, Consent, GoldAnswer, ItemTruth, Label, Message, PairSource, PreferencePair, ReviewTask, Rewrite, Role, SpanMark
from trueloop.events.item_truth import StandingVoice
from trueloop.processors.appeals import PROCESSOR as APPEALS
from trueloop.processors.collection import PROCESSOR
from trueloop.processors.reviewers import PROCESSOR as REVIEWERS
from trueloop.sampling.reviewed import subject_pseudonym
from trueloop.testing import ProcessorDriver
from trueloop.topics import PREFERENCE_PAIRS, TRUTHS

A_BETTER = {"a": {"accuracy": 1, "safety": 1, "tone": 4}, "b": {"accuracy": 0, "safety": 1, "tone": 4}}
WORDS = "one two three four five six seven eight nine"


def driver(**pairs: Any) -> ProcessorDriver:
    return ProcessorDriver(PROCESSOR, context(policy(pairs=pairs)))


def live(run: ProcessorDriver) -> list[PreferencePair]:
    newest = {pair.pair_id: pair for pair in run.out_of(PREFERENCE_PAIRS)}
    return [pair for pair in newest.values() if not pair.withdrawn]


def spans(candidate: str = "a", text: str = WORDS, count: int = 9) -> list[SpanMark]:
    starts = [place for place in range(len(text)) if place == 0 or text[place - 1] == " "][:count]
    severities = ("MINOR", "CRITICAL", "MAJOR")
    return [
        SpanMark(candidate_id=candidate, start=start, end=start + 3, dimension="tone", severity=severities[number % 3], replacement=f"<{number}>")
        for number, start in enumerate(starts)
    ]


def worded(**changes: Any) -> ReviewTask:
    return task(candidates=("a",), labels_needed=1).model_copy(update={"candidates": [Candidate(candidate_id="a", completion=WORDS)], **changes})


def gold(number: int = 1, *, minutes: int = 1, **changes: Any) -> GoldAnswer:
    values: dict[str, Any] = {
        "event_id": f"gold-{number}-{minutes}",
        "occurred_at": START + timedelta(minutes=minutes),
        "application": "support",
        "task_id": f"task-{number}",
        "rubric_id": "support",
        "rubric_version": 1,
        "ratings": ratings({"a": {"accuracy": 1}}),
    }
    return GoldAnswer(**(values | changes))


# Edits of spans


def test_nine_edits_give_the_chain_and_the_pair_of_its_ends_and_weigh_one_pair() -> None:
    run = driver()
    run.send(worded())
    run.send(label("r1", spans=spans()))
    pairs = live(run)
    assert len(pairs) == 10
    assert {(pair.source, tuple(pair.reviewers), pair.p_correct) for pair in pairs} == {(PairSource.SPAN, ("r1",), None)}
    better = {pair.rejected: pair.chosen for pair in pairs if pair.margin < 1.0}
    text, versions = WORDS, 0
    while text in better:
        text, versions = better[text], versions + 1
    (ends,) = [pair for pair in pairs if pair.margin == 1.0]
    assert (versions, ends.rejected, ends.chosen) == (9, WORDS, text)
    assert fsum(pair.weight for pair in pairs) == pytest.approx(1.0)
    assert fsum(pair.margin for pair in pairs if pair is not ends) == pytest.approx(1.0), "the shares of severity"


def test_a_policy_may_give_edits_more_weight_and_fewer_steps() -> None:
    run = driver(chain_weight=3.0, max_chain_steps=4)
    run.send(worded())
    run.send(label("r1", spans=spans()))
    assert len(live(run)) == 5
    assert fsum(pair.weight for pair in live(run)) == pytest.approx(3.0)


def test_the_chains_of_a_task_count_in_its_limit_and_what_is_over_it_is_counted() -> None:
    run = driver(max_pairs_per_task=2)
    run.send(worded(labels_needed=3))
    for count in (3, 4, 5):
        run.send(label(f"r{count}", spans=spans(count=count)))
    assert len({pair.reviewers[0] for pair in live(run)}) == 2
    assert fsum(pair.weight for pair in live(run)) <= 2.0
    assert run.drops["over_limit"] > 0


def test_the_same_edits_of_two_reviewers_are_told_once() -> None:
    run = driver()
    run.send(worded(labels_needed=2))
    run.send(label("r1", spans=spans(count=2)))
    run.send(label("r2", spans=spans(count=2)))
    assert len(live(run)) == 3
    assert run.drops == {"near_duplicate": 3}


def test_overlapping_edits_are_counted_and_marks_without_replacement_are_no_edits() -> None:
    marks = [
        SpanMark(candidate_id="a", start=0, end=7, dimension="tone", severity="MINOR", replacement="x"),
        SpanMark(candidate_id="a", start=4, end=13, dimension="tone", severity="CRITICAL", replacement="y"),
        SpanMark(candidate_id="a", start=14, end=18, dimension="tone", severity="MAJOR"),
    ]
    run = driver()
    run.send(worded())
    run.send(label("r1", spans=marks))
    (pair,) = live(run)
    assert (pair.chosen, run.drops) == ("one y four five six seven eight nine", {"overlapping_edit": 1})


def test_newer_edits_replace_the_older_chain() -> None:
    run = driver()
    run.send(worded())
    run.send(label("r1", spans=spans(count=3)))
    run.send(label("r1", spans=spans(count=2), at=START + timedelta(hours=1)))
    assert len(live(run)) == 3
    run.send(label("r1", spans=[], at=START + timedelta(hours=2), ratings=ratings({"a": {"tone": 1}})))
    assert live(run) == []


# What is dropped


def test_pairs_of_a_low_margin_are_dropped_with_a_counter_once() -> None:
    run = driver(min_margin=0.5)
    run.send(task())
    run.send(label("r1", ratings=ratings(A_BETTER)))
    run.send(label("r2", ratings=ratings(A_BETTER)))
    run.send(label("r3", ratings=ratings(A_BETTER)))
    assert (live(run), run.drops) == ([], {"low_margin": 1})
    assert run.replay() == []
    assert run.drops == {"low_margin": 1}


def test_texts_that_are_nearly_the_same_give_no_pair() -> None:
    long = " ".join(f"sentence {number} of the answer." for number in range(100))
    near = [Candidate(candidate_id="a", completion=long), Candidate(candidate_id="b", completion=long.replace("sentence 50", "sentence 5O"))]
    for above, expected in ((0.98, 0), (1.0, 1)):
        run = driver(near_duplicate_above=above)
        run.send(task().model_copy(update={"candidates": near}))
        run.send(label("r1", ratings=ratings(A_BETTER)))
        run.send(label("r2", ratings=ratings(A_BETTER)))
        assert len(live(run)) == expected
        assert run.drops == ({} if expected else {"near_duplicate": 1})


def test_ratings_and_preferences_that_say_the_same_are_one_pair() -> None:
    run = driver()
    run.send(task())
    for reviewer in ("r1", "r2"):
        run.send(label(reviewer, ratings=ratings(A_BETTER), preferences=prefers("a")))
    (pair,) = live(run)
    assert (pair.source, pair.margin, run.drops) == (PairSource.PAIRWISE, 1.0, {"near_duplicate": 1})
    run.send(label("r1", ratings=ratings(A_BETTER), preferences=prefers("b"), at=START + timedelta(hours=1)))
    assert [pair.source for pair in live(run)] == [PairSource.RATINGS], "a tie of votes: what the ratings say is news"


# Known answers


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_task_with_a_known_answer_gives_no_pair_whatever_comes_first(order: tuple[int, ...]) -> None:
    events = [task(), label("r1", ratings=ratings(A_BETTER)), label("r2", ratings=ratings(A_BETTER)), gold()]
    run = ProcessorDriver(PROCESSOR, context())
    for place in order:
        run.send(events[place])
    run.retry()
    assert live(run) == []
    assert run.drops == {"gold": 1}
    assert run.state("task-1").is_gold
    before = run.state("task-1")
    assert run.replay() == []
    assert run.state("task-1") == before


def test_pairs_from_before_are_withdrawn_and_hold_again_when_the_answer_is() -> None:
    run = driver()
    run.send(task())
    run.send(label("r1", ratings=ratings(A_BETTER)))
    run.send(label("r2", ratings=ratings(A_BETTER)))
    (made,) = live(run)
    run.send(gold())
    told = run.out_of(PREFERENCE_PAIRS)[-1]
    assert (told.withdrawn, told.weight, told.revises, told.replaced_weight) == (True, 0.0, made.event_id, made.weight)
    run.send(gold(minutes=3, withdrawn=True))
    assert [pair.pair_id for pair in live(run)] == [made.pair_id]
    run.send(gold(minutes=2))
    assert run.outcomes["stale"] == 1
    assert len(live(run)) == 1
    run.send(gold(minutes=3, withdrawn=True))
    assert run.outcomes["duplicate"] == 1


def test_labels_of_a_gold_task_enter_agreement_all_the_same() -> None:
    plain, known = driver(), driver()
    known.send(gold())
    for run in (plain, known):
        run.send(task())
        run.send(label("r1", ratings=ratings(A_BETTER)))
        run.send(label("r2", ratings=ratings(A_BETTER)))
    assert known.out == [event for event in plain.out if not isinstance(event, PreferencePair)]


# Appeals


def appeal_task(**changes: Any) -> ReviewTask:
    run = ProcessorDriver(APPEALS, context(policy(sampling={"appeal_form": "REWRITE", "calibration_share": 0.0})))
    appeal = Appeal(
        event_id="appeal-1",
        occurred_at=START,
        application="support",
        trace_id="trace-1",
        subject_id="subject-1",
        consent=Consent.TRAINING,
        messages=[Message(role=Role.USER, content="question 1")],
        completion=WORDS,
    )
    run.send(appeal.model_copy(update=changes))
    (found,) = run.out
    assert isinstance(found, ReviewTask)
    return found


def rewrites(reviewer: str, appealed: ReviewTask, text: str = "much better", **changes: Any) -> Label:
    rewrite = Rewrite(candidate_id=appealed.candidates[0].candidate_id, completion=text)
    return label(reviewer, task_id=appealed.task_id, rewrite=rewrite, **changes)


def truth(appealed: ReviewTask, labels: list[Label], involved: tuple[str, ...] = ()) -> ItemTruth:
    voices = [
        StandingVoice(
            label_id=each.event_id, reviewer_id=each.reviewer_id, weight=float(each.reviewer_id not in involved), involved=each.reviewer_id in involved
        )
        for each in labels
    ]
    name = "truth-" + "-".join(each.event_id[:6] for each in labels) + "-".join(involved)
    common = {"application": "support", "rubric_id": "support", "rubric_version": 1}
    return ItemTruth(event_id=name, occurred_at=START, task_id=appealed.task_id, labels=voices, **common)


def test_a_decided_appeal_gives_pairs_that_name_it_and_the_appellant() -> None:
    appealed = appeal_task()
    assert appealed.form.value == "REWRITE"
    assert appealed.appellant not in (None, subject_pseudonym("support", "subject-1")), "the task must not show who objects"
    run = ProcessorDriver(PROCESSOR, context())
    labels = [rewrites("r1", appealed), rewrites("r2", appealed, "another text")]
    for event in (appealed, *labels):
        run.send(event)
    assert live(run) == [], "whether its reviewers are uninvolved is not known yet"
    run.send(truth(appealed, labels))
    pairs = live(run)
    assert {pair.chosen for pair in pairs} == {"much better", "another text"}
    assert {(pair.source, pair.appellant, pair.trainable) for pair in pairs} == {(PairSource.APPEAL, subject_pseudonym("support", "subject-1"), True)}
    assert run.replay() == []


def test_one_label_decides_no_appeal() -> None:
    appealed = appeal_task()
    run = ProcessorDriver(PROCESSOR, context())
    only = rewrites("r1", appealed)
    for event in (appealed, only, truth(appealed, [only])):
        run.send(event)
    assert live(run) == []


def test_the_label_of_an_involved_reviewer_neither_decides_nor_gives_a_pair() -> None:
    appealed = appeal_task(subject_id=None)
    labels = [rewrites(name, appealed, f"text of {name}") for name in ("r1", "r2", "r3")]
    run = ProcessorDriver(PROCESSOR, context())
    for event in (appealed, *labels[:2], truth(appealed, labels[:2], ("r1",))):
        run.send(event)
    assert live(run) == []
    run.send(labels[2])
    assert live(run) == [], "what is not told of a label waits"
    run.send(truth(appealed, labels, ("r1",)))
    assert {(pair.chosen, pair.appellant) for pair in live(run)} == {("text of r2", None), ("text of r3", None)}
    run.send(truth(appealed, labels, ("r1", "r2")))
    assert live(run) == [], "r2 labelled the trace's other task later"


def test_a_seal_that_is_none_names_nobody_and_stops_nothing() -> None:
    appealed = appeal_task().model_copy(update={"appellant": "Ä" * 300})
    labels = [rewrites("r1", appealed), rewrites("r2", appealed, "another text")]
    run = ProcessorDriver(PROCESSOR, context())
    for event in (appealed, *labels, truth(appealed, labels)):
        run.send(event)
    assert {pair.appellant for pair in live(run)} == {None}


# Who is involved, as the reviewers worker tells it


def told(run: ProcessorDriver, appealed: ReviewTask) -> dict[str, tuple[bool, float]]:
    newest = [event for event in run.out_of(TRUTHS) if event.task_id == appealed.task_id][-1]
    return {voice.reviewer_id: (voice.involved, voice.weight) for voice in newest.labels}


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_who_labelled_another_task_of_the_trace_is_involved_in_its_appeal_whatever_comes_first(order: tuple[int, ...]) -> None:
    appealed = appeal_task()
    first = label("r1", ratings=ratings({"a": {"accuracy": 1}}))
    events = [task(), first, appealed, rewrites("r1", appealed)]
    ends = []
    for batched in (False, True):
        run = ProcessorDriver(REVIEWERS, context())
        if batched:
            with run.batch():
                for place in order:
                    run.send(events[place])
                run.send(rewrites("r2", appealed))
        else:
            for place in order:
                run.send(events[place])
            run.send(rewrites("r2", appealed))
        assert told(run, appealed) == {"r1": (True, 0.0), "r2": (False, 1.0)}
        run.restart()
        run.send(label("r1", retracts=first.event_id, at=START + timedelta(hours=1)))
        ends.append(told(run, appealed))
    assert ends == [{"r1": (False, 1.0), "r2": (False, 1.0)}] * 2


def test_the_label_of_another_trace_involves_nobody() -> None:
    appealed = appeal_task()
    run = ProcessorDriver(REVIEWERS, context())
    run.send(task(2))
    run.send(label("r1", 2, ratings=ratings({"a": {"accuracy": 1}})))
    run.send(appealed)
    run.send(rewrites("r1", appealed))
    assert told(run, appealed) == {"r1": (False, 1.0)}
    assert run.context.blinding_key == KEY
