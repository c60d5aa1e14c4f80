"""Judges as evaluators: what people rated, how far a judge agrees with it, and what is remembered of its scores."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from trueloop.trainers.judged import judge_scores

from tests.processors.scenario import RUBRIC, START, label, ratings, task
from trueloop.events.review_task import SamplingReason
from trueloop.judges import Judge
from trueloop.judges.outcome import NoJudgement, NoJudgementReason
from trueloop.labels.judge_agreement import judge_agreement
from trueloop.labels.rated_completions import LabelsThatCount, RatedCompletion, rated_completions
from trueloop.rubrics.rubric import Scale

SCALE = Scale(min=1, max=5)


def rated(*labels: Any, tasks: Sequence[Any] = (), most: int = 100) -> list[RatedCompletion]:
    known = LabelsThatCount()
    for each in labels:
        known.add(each)
    return rated_completions(tasks or [task()], known, RUBRIC, most)


def gives(reviewer: str, tone: int, minute: int = 5, **changes: Any) -> Any:
    return label(reviewer, at=START + timedelta(minutes=minute), ratings=ratings({"a": {"tone": tone}}), **changes)


def test_a_rating_is_the_mean_of_the_labels_that_count_as_a_share_of_the_scale() -> None:
    (unit,) = rated(gives("r1", 5), gives("r2", 3))
    assert (unit.completion, unit.ratings, unit.probability) == ("text a", {"tone": 0.75}, 0.5)
    (unit,) = rated(gives("r1", 1), gives("r1", 5, minute=6))
    assert unit.ratings == {"tone": 1.0}, "a newer label of a reviewer replaces the older one"
    (unit,) = rated(gives("r1", 5, minute=6), gives("r1", 1))
    assert unit.ratings == {"tone": 1.0}, "in whatever order they are read"


def test_what_does_not_count_is_left_out() -> None:
    first = gives("r1", 5)
    assert rated(first, label("r1", retracts=first.event_id)) == []
    assert rated(first, label("r1", retracts=first.event_id), first) == [], "read again after its retraction"
    assert rated(gives("r1", 9)) == [], "off the scale"
    assert rated(gives("r1", 5, rubric_version=2)) == []
    assert rated(first, tasks=[task(reasons=[SamplingReason.APPEAL])]) == [], "an appeal is no sample"
    assert rated(first, tasks=[task(rubric_version=2)]) == []


def test_which_units_are_compared_does_not_hang_on_the_order() -> None:
    tasks = [task(number) for number in range(30)]
    labels = [label("r1", number, ratings=ratings({"a": {"tone": 3}, "b": {"tone": 4}})) for number in range(30)]
    some = rated(*labels, tasks=tasks, most=10)
    assert len(some) == 10
    assert some == rated(*reversed(labels), tasks=tasks[::-1], most=10)


def units(values: Sequence[float]) -> list[RatedCompletion]:
    return [RatedCompletion(f"u{number:03}", (), "x", {"tone": value}, 1.0, f"prompt-{number}") for number, value in enumerate(values)]


def test_agreement_tells_a_good_judge_from_a_kind_one_and_a_constant_one() -> None:
    people = [0.0, 0.25, 0.5, 0.75, 1.0] * 20
    good = judge_agreement(units(people), [min(1.0, value + 0.25 * (number % 3 == 0)) for number, value in enumerate(people)], "tone", SCALE)
    assert good.correlation.value is not None
    assert good.correlation.ci_low is not None
    assert 0.8 < good.correlation.ci_low < good.correlation.value < 1.0
    assert good.bias.value is not None
    assert -0.25 < good.bias.value < 0.0, "it is too kind"
    constant = judge_agreement(units(people), [1.0] * 100, "tone", SCALE)
    assert (constant.correlation.value, constant.correlation.ci_low) == (None, None)
    assert judge_agreement([], [], "tone", SCALE).correlation.n == 0


def test_a_perfect_judge_has_a_bound_that_grows_with_what_it_was_asked() -> None:
    lows = []
    for n in (10, 50, 500):
        found = judge_agreement(units([0.0, 1.0] * (n // 2)), [0.0, 1.0] * (n // 2), "tone", SCALE).correlation
        assert (found.value, found.undefined) == (1.0, None)
        lows.append(found.ci_low)
    assert lows == sorted(lows)
    assert lows[0] is not None
    assert 0.2 < lows[0] < 0.8
    assert judge_agreement(units([0.0, 1.0, 1.0]), [0.0, 1.0, 1.0], "tone", SCALE).correlation.ci_low is None


def test_what_brought_no_judgement_does_not_count() -> None:
    people = [0.0, 0.25, 0.5, 0.75, 1.0] * 4
    found = judge_agreement(units(people), [None if number % 4 == 0 else value for number, value in enumerate(people)], "tone", SCALE)
    assert (found.correlation.n, found.ac2.n, found.bias.n) == (15, 15, 15)


class Chat:
    """Answers what it is told to, and counts."""

    def __init__(self, *answers: str | NoJudgement) -> None:
        self.answers, self.asked = answers, 0

    def complete(self, conversations: Sequence[Any], max_new_tokens: int) -> list[str | NoJudgement]:
        self.asked += len(conversations)
        return [self.answers[number % len(self.answers)] for number in range(len(conversations))]


ASKED = {
    "a": ([{"role": "user", "content": "Q"}], "answer"),
    "b": ([{"role": "user", "content": "Q"}], "other"),
    "same": ([{"role": "user", "content": "Q"}], "answer"),
}


def ask(chat: Chat, models: Path, identity: str = "judge-1") -> dict[str, float]:
    return judge_scores(Judge("panel", chat, identity), RUBRIC, "tone", ASKED, models=models, alive=lambda: None)


def test_a_judge_is_asked_once_about_an_answer_and_again_where_it_was_silent(tmp_path: Path) -> None:
    chat = Chat('{"score": 5}')
    assert ask(chat, tmp_path) == {"a": 1.0, "b": 1.0, "same": 1.0}
    assert chat.asked == 2
    assert ask(chat, tmp_path) == {"a": 1.0, "b": 1.0, "same": 1.0}
    assert chat.asked == 2
    ask(chat, tmp_path, identity="judge-2")
    assert chat.asked == 4, "another judge has said nothing yet"
    assert not [path for path in tmp_path.rglob("*.json") if "answer" in path.read_text()], "no text is kept"


@pytest.mark.parametrize("nothing", [NoJudgement(NoJudgementReason.TIMEOUT), "five, I would say", '{"score": 7}', '{"score": "five"}', ""])
def test_a_time_out_or_nonsense_is_no_score(tmp_path: Path, nothing: str | NoJudgement) -> None:
    silent = Chat(nothing)
    assert ask(silent, tmp_path) == {}
    assert ask(Chat('{"score": 1}'), tmp_path) == {"a": 0.0, "b": 0.0, "same": 0.0}, "it is asked again"


def test_a_damaged_memory_is_asked_anew(tmp_path: Path) -> None:
    ask(Chat('{"score": 5}'), tmp_path)
    (file,) = tmp_path.rglob("*.json")
    file.write_text('{"cut')
    chat = Chat('{"score": 3}')
    assert ask(chat, tmp_path) == {"a": 0.5, "b": 0.5, "same": 0.5}
    assert chat.asked == 2
