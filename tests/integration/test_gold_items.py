"""v_gold_answers, and what `trueloop gold` makes of it."""

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from tests.factories import example
from tests.integration.analyst_house import table_of
from trueloop import topics
from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.schema import ensure_schema
from trueloop.commands.gold import ANSWERS, GIVEN, KNOWN, admission_of, policy_of, show
from trueloop.errors import ConfigurationError
from trueloop.events import GoldAnswer, Label, Preference, Rating
from trueloop.reviewers import Admission, Retirement, gold_items
from trueloop.reviewers.judgements import GoldKey, StandingLabel, Unit, judgements
from trueloop.rubrics import Governance
from trueloop.rubrics.policy import Onboarding, Reviewers

NOW = datetime(2026, 11, 2, tzinfo=UTC)
PLACES = ("a", "b")
Answers = dict[str, dict[str, float]]


def label(number: int, task: str, reviewer: str, ratings: dict[tuple[str, str], int], preferred: dict[str | None, str | None], **said: str) -> Label:
    return example(
        Label,
        event_id=f"label-{number}",
        occurred_at=NOW + timedelta(seconds=number),
        task_id=task,
        reviewer_id=reviewer,
        ratings=[Rating(candidate_id=c, dimension=d, value=v) for (d, c), v in ratings.items()],
        preferences=[Preference(dimension=d, preferred=p) for d, p in preferred.items()],
        **{"supersedes": None, "retracts": None} | said,
    )


def values(ratings: dict[tuple[str, str], int], preferred: dict[str | None, str | None]) -> dict[Unit, int]:
    return ratings | {(dimension or "overall", ""): -1 if place is None else PLACES.index(place) for dimension, place in preferred.items()}


def expected(known: GoldKey, said: dict[Unit, int]) -> Fraction | None:
    (judgement,) = judgements([StandingLabel("l", "r", NOW, said)], known, {"tone": 6, "facts": 6, "overall": 3})
    return judgement.gold


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedEngine, Answers]]:
    """Random gold tasks and labels: edited, retracted, on unknown units, on withdrawn and on corrected answers."""
    chance = random.Random(4)
    gold: list[GoldAnswer] = []
    labels: list[Label] = []
    wanted: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def ratings() -> dict[tuple[str, str], int]:
        return {(d, c): chance.randrange(6) for d in ("tone", "facts") for c in PLACES if chance.random() < 0.7}

    def preferred() -> dict[str | None, str | None]:
        return {None: chance.choice((None, *PLACES))} if chance.random() < 0.5 else {}

    for number in range(60):
        task = f"task-{number}"
        for version in range(1 + number % 2):
            rated, prefers = ratings(), preferred()
            known = GoldKey(values(rated, prefers), tolerance=chance.randrange(2))
            gold.append(
                example(
                    GoldAnswer,
                    event_id=f"gold-{number}-{version}",
                    occurred_at=NOW + timedelta(seconds=version),
                    task_id=task,
                    ratings=[Rating(candidate_id=c, dimension=d, value=v) for (d, c), v in rated.items()],
                    preferences=[Preference(dimension=d, preferred=p) for d, p in prefers.items()],
                    tolerance=known.tolerance,
                    withdrawn=number % 10 == 9,
                )
            )
        for reviewer in ("ada", "ben", "cleo"):
            rated, prefers = ratings(), preferred()
            labels.append(label(len(labels), task, reviewer, rated, prefers))
            correct = expected(known, values(rated, prefers))
            if correct is not None and number % 10 != 9:
                wanted[task][reviewer] = float(correct)
            if chance.random() < 0.3:  # whoever says something else later has seen the task before
                labels.append(label(len(labels), task, reviewer, ratings(), preferred(), supersedes=labels[-1].event_id))
            if chance.random() < 0.2:
                labels.append(label(len(labels), task, reviewer, {}, {}, retracts=labels[-1].event_id))
    engine = EmbeddedEngine(tmp_path_factory.mktemp("clickhouse"), "trueloop")
    ensure_schema(engine)
    try:
        for topic, events in ((topics.GOLD, gold), (topics.LABELS, labels)):
            engine.insert(topic.table, table_of(topic, events), f"token-{topic.name}")
        yield engine, dict(wanted)
    finally:
        engine.close()


def test_the_view_counts_what_the_reviewers_room_counts(filled: tuple[EmbeddedEngine, Answers]) -> None:
    engine, wanted = filled
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for task, reviewer, correct in engine.rows("SELECT task_id, reviewer_id, correct FROM v_gold_answers"):
        assert reviewer not in found[task], "a reviewer counts once on a task"
        found[task][reviewer] = correct
    assert {task: {r: pytest.approx(v) for r, v in by.items()} for task, by in wanted.items()} == dict(found)
    assert sum(map(len, wanted.values())) > 100
    assert sum(value not in (0.0, 1.0) for by in wanted.values() for value in by.values()) > 0


def test_what_is_known_and_what_a_reviewer_was_given(filled: tuple[EmbeddedEngine, Answers]) -> None:
    engine, _ = filled
    values = {"application": "support", "reviewer": "ada"}
    application = engine.rows("SELECT any(application) FROM gold")[0][0]
    sql = {name: text.replace("{application:String}", f"'{application}'").replace("{reviewer:String}", f"'{values['reviewer']}'") for name, text in
           (("known", KNOWN), ("given", GIVEN))}  # fmt: skip
    known = {task for task, _ in engine.rows(sql["known"])}
    assert known == {f"task-{number}" for number in range(60) if number % 10 != 9}, "an answer that was withdrawn is not known"
    assert {task for (task,) in engine.rows(sql["given"])} == {f"task-{number}" for number in range(60)}


def test_who_was_never_heard_of_is_in_onboarding_where_there_is_one() -> None:
    without, with_onboarding = Reviewers(), Reviewers(onboarding=Onboarding())
    assert admission_of(without, []) is Admission.PASSED
    assert admission_of(with_onboarding, []) is Admission.PENDING
    assert admission_of(with_onboarding, [(["ONBOARDING_PENDING"],)]) is Admission.PENDING
    assert admission_of(with_onboarding, [(["ONBOARDING_FAILED"],)]) is Admission.FAILED
    assert admission_of(with_onboarding, [(["TOO_FAST"],)]) is Admission.PASSED


def test_the_command_shows_each_item_and_why_it_is_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    items = gold_items({"easy": {f"r{n}": 1.0 for n in range(80)}, "new": {"r1": 0.5}}, Reviewers())
    show(items, as_json=False)
    head, easy, new = capsys.readouterr().out.splitlines()
    assert head.split() == ["TASK", "ANSWERS", "RIGHT", "DISCRIMINATION", "USE"]
    assert easy.split()[:2] == ["easy", "80"]
    assert easy.endswith(Retirement.TOO_EASY)
    assert (new.split()[:2], new.split()[-1]) == (["new", "1"], "yes")
    show({}, as_json=False)
    assert capsys.readouterr().out == "no gold item was answered yet\n"


def test_an_application_without_a_policy_is_an_error_that_says_so() -> None:
    assert "{application:String}" in ANSWERS
    with pytest.raises(ConfigurationError, match="no policy is published for application 'nobody'"):
        policy_of("nobody", Governance())
