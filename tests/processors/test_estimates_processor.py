"""The estimates worker: whatever comes in whatever order, it says what a batch over all traces and labels says."""

import random
from datetime import timedelta
from statistics import fmean

import numpy as np
import pytest
from trueloop.streams.state_topics import is_whole

from tests.processors.scenario import KEY, RUBRIC, START, context, policy, task, trace
from trueloop.drift.observations import Losses, mark_of, observations
from trueloop.drift.series import drift_series
from trueloop.estimates import aipw, hajek, pearson_correlation, prediction_powered_mean
from trueloop.events import EstimateMethod, ItemTruth, JudgeFallback, Message, NoEstimate, Role, StandingVoice, UnitTruth
from trueloop.events.agreement import WindowKind
from trueloop.processors import estimates, sampling
from trueloop.processors.processor import Source
from trueloop.sampling.blinding import candidate_id
from trueloop.sampling.reviewed import estimate_cluster, reviewed_trace, subject_pseudonym
from trueloop.testing import Clock, ProcessorDriver
from trueloop.topics import DRIFT_OBSERVATIONS, ESTIMATES, REVIEWED_TRACES

SEED = 20261121
SECTIONS = {"estimates": {"judge": {"accuracy": "judge"}, "slices": ["locale"]}, "drift": {"slices": ["locale"]}}
WEEK = 7


def driver(sections=SECTIONS):
    return ProcessorDriver(estimates.PROCESSOR, context(policy(**sections)), Clock(START + timedelta(days=100)))


def reviewed(number, probability=0.5, score=0.5, cluster_by="subject", **changes):
    source = trace(number, scores={} if score is None else {"judge": score}, **changes)
    return reviewed_trace(source, task(number, sampling_prob=probability, slices=source.slices, occurred_at=source.occurred_at), KEY, cluster_by)


def truth(number, mean, dimension="accuracy", **changes):
    """What the labels of a task come to: the mean rating of the served candidate; None when there are none."""
    served = candidate_id(KEY, f"task-{number}", 0)
    units = [] if mean is None else [UnitTruth(dimension=dimension, candidate_id=served, categories=[1], probabilities=[1.0], mean=mean, n_labels=2)]
    values = {"event_id": f"truth-{number}-{mean}", "occurred_at": START, "application": "support", "task_id": f"task-{number}"}
    return ItemTruth(**(values | {"rubric_id": "support", "rubric_version": 1, "units": units} | changes))


def judged(scores, first=0, at=START, partition=0, slices=None, name="judge"):
    """What the hot path tells of a batch of traces."""
    for series in drift_series("support", f"score:{name}", slices or {"locale": "de"}, ("locale",)):
        items = Losses(
            losses=1.0 - np.array(scores), marks=np.array([mark_of(str(first + place)) for place in range(len(scores))]),
            checkpoints=np.full(len(scores), -1), trace_id=str, source=f"traces/{partition}", offsets=np.arange(first, first + len(scores)),
        )  # fmt: skip
        yield observations(series, "support", at, items, [])


def send(drive, events):
    for event in events:
        drive.send(event)


def newest(drive, dimension="accuracy", slice_name="all", kind=WindowKind.ROLLING):
    told = [event for event in drive.out_of(ESTIMATES) if (event.dimension, event.slice, event.window_kind) == (dimension, slice_name, kind)]
    return told[-1] if told else None


def population(size, seed=SEED):
    """Traces with a judge's score, a true quality, and a probability to be labelled that is high where the judge is low."""
    rng = random.Random(seed)
    found = []
    for number in range(1, size + 1):
        good = rng.random() < 0.8
        score = min(max(rng.gauss(0.75 if good else 0.35, 0.15), 0.0), 1.0)
        probability = 0.1 if score > 0.6 else 0.6
        found.append((number, float(good), score, probability, rng.random() < probability))
    return found


def test_a_labelled_trace_becomes_an_estimate_with_its_reason():
    drive = driver({})
    drive.send(reviewed(1, 0.25))
    drive.send(truth(1, 1.0))
    found = newest(drive)
    assert (found.value, found.hajek, found.n_labelled, found.method) == (1.0, 1.0, 1, EstimateMethod.HAJEK)
    assert (found.low, found.undefined, found.fallback, found.judge, found.aipw) == (None, NoEstimate.ONE_CLUSTER, JudgeFallback.NO_JUDGE, None, None)
    assert found.window_start < START < found.window_end
    drive.send(truth(1, None))
    gone = newest(drive)
    assert (gone.value, gone.n_labelled, gone.undefined) == (None, 0, NoEstimate.NO_LABELS)


def test_ratings_are_shares_of_their_scale():
    drive = driver({})
    send(drive, [reviewed(1), truth(1, 4.0, "tone")])
    assert newest(drive, "tone").value == RUBRIC.dimension("tone").scale.loss(2) == 0.75


def test_the_stream_is_the_batch_at_every_prefix():
    """Labels in any order, edited, retracted and sent again; both halves of a task in either order; batches of scores cut anew."""
    rng, drive = random.Random(SEED), driver()
    rows = population(240)
    send(drive, judged([score for _, _, score, _, _ in rows]))
    drawn = [row for row in rows if row[4]]
    events, offset, known, halves = [], 0, {}, set()
    for number, good, score, probability, _ in drawn:
        events += [reviewed(number, probability, score), truth(number, good)]
        if rng.random() < 0.3:
            events.append(truth(number, 1.0 - good))
        if rng.random() < 0.2:
            events.append(truth(number, None))
    rng.shuffle(events)
    columns = {number: (score, probability) for number, _, score, probability, _ in rows}
    for event in events:
        number = int(event.task_id.removeprefix("task-"))
        if isinstance(event, ItemTruth):
            source, offset = Source("truths", 0, offset), offset + 1
            drive.send(event, source=source)
            known[number] = event.units[0].mean if event.units else None
        else:
            drive.send(event)
            halves.add(number)
        if rng.random() < 0.1:
            drive.restart()
        labels = [known.get(each) if each in halves else None for each in columns]
        scores, probabilities = zip(*columns.values(), strict=True)
        found = newest(drive)
        if found is None:
            assert not any(each is not None for each in labels)
            continue
        expected = hajek(labels, probabilities, scale=(0, 1))
        powered = prediction_powered_mean(labels, scores, probabilities, scale=(0, 1))
        full = aipw(labels, probabilities, scores, scale=(0, 1))
        assert found.n_labelled == expected.n
        assert [found.hajek, found.hajek_low, found.hajek_high] == pytest.approx([expected.value, expected.ci_low, expected.ci_high], abs=1e-9)
        assert [found.value, found.low, found.high] == pytest.approx([powered.value, powered.ci_low, powered.ci_high], abs=1e-5)
        assert [found.aipw, found.aipw_low] == pytest.approx([full.value, full.ci_low], abs=1e-5)
        assert (found.fallback is None) == (powered.fallback is None)
    correlation = pearson_correlation(labels, scores, probabilities)
    assert [found.correlation, found.correlation_low] == pytest.approx([correlation.value, correlation.ci_low], abs=1e-9)
    assert (found.method, found.n_judged) == (EstimateMethod.PREDICTION_POWERED, 240)
    assert drive.replay() == []


def test_scores_that_are_sent_again_in_other_batches_count_once():
    scores = [place / 100 for place in range(100)]
    whole, cut = driver(), driver()
    send(whole, judged(scores))
    for first, last in ((0, 40), (20, 60), (0, 60), (60, 61), (50, 100)):
        send(cut, judged(scores[first:last], first))
    send(cut, judged([0.5], partition=1))
    send(whole, judged([0.5], partition=1))
    for drive in (whole, cut):
        send(drive, [reviewed(1, 0.5, 0.25), truth(1, 1.0)])
    assert newest(cut).event_id == newest(whole).event_id
    assert newest(cut).n_judged == 101
    assert cut.outcomes["duplicate"] == 2


def test_slices_are_apart_and_panes_too():
    drive = driver()
    late = {"occurred_at": START + timedelta(days=WEEK), "slices": {"locale": "fr"}}
    send(drive, [reviewed(1), truth(1, 1.0), reviewed(2, **late), truth(2, 0.0), *judged([0.5, 1.0]), reviewed(3), truth(3, 1.0)])
    assert [newest(drive, slice_name=name).value for name in ("all", "locale=de", "locale=fr")] == [pytest.approx(2 / 3), 1.0, 0.0]
    panes = {event.window_start: event for event in drive.out_of(ESTIMATES) if event.window_kind is WindowKind.PANE and event.slice == "all"}
    assert sorted(event.value for event in panes.values()) == [0.0, 1.0]
    assert [newest(drive, slice_name=name).n_judged for name in ("all", "locale=de", "locale=fr")] == [2, 2, 0]
    # What is older than the window leaves it.
    far = {"occurred_at": START + timedelta(days=40)}
    send(drive, [reviewed(4, **far), truth(4, 0.0)])
    assert (newest(drive).value, newest(drive).n_labelled, newest(drive).n_judged) == (0.0, 1, 0)


def turns(*contents):
    return [Message(role=(Role.USER, Role.ASSISTANT)[place % 2], content=content) for place, content in enumerate(contents)]


def test_the_turns_of_a_conversation_are_one_cluster_whoever_else_begins_so():
    def cluster(messages, subject=None):
        return estimate_cluster(trace(1, messages=messages, subject_id=subject), "conversation")

    first, second, other = turns("Why so much?"), turns("Why so much?", "It is $4.", "Since when?"), turns("Where is it?")
    assert cluster(first) == cluster(second) != cluster(other)
    assert cluster(first, "s") == cluster(second, "s") not in (cluster(first), cluster(first, "other"))
    assert "s" not in cluster(first, "s")
    assert {estimate_cluster(trace(1, messages=each, subject_id="s"), "subject") for each in (first, other)} == {subject_pseudonym("support", "s")}
    assert estimate_cluster(trace(1), "subject") is None


def test_alike_traces_widen_the_interval_as_the_policy_takes_them():
    """Twenty subjects of two conversations each: 40 clusters are half as many when their subject is what is alike."""
    found = {}
    for cluster_by in ("conversation", "subject"):
        drive = driver()
        for number in range(80):
            words = turns(f"question {number // 2}", "answer", "and?") if number % 2 else turns(f"question {number // 2}")
            drive.send(reviewed(number, cluster_by=cluster_by, subject_id=f"s{number // 4}", messages=words))
            drive.send(truth(number, float(number // 4 % 2)))
        found[cluster_by] = newest(drive)
    conversation, subject = found["conversation"], found["subject"]
    assert (conversation.n_clusters, subject.n_clusters) == (40, 20)
    assert conversation.value == subject.value
    assert subject.high - subject.low > 1.2 * (conversation.high - conversation.low)


def test_the_policy_says_what_sampling_tells_of_a_trace():
    for cluster_by in ("subject", "conversation"):
        run = ProcessorDriver(sampling.PROCESSOR, context(policy(estimates={"cluster_by": cluster_by})))
        source = trace(1, subject_id="s")
        run.send(source)
        (told,) = run.out_of(REVIEWED_TRACES)
        assert told.cluster == estimate_cluster(source, cluster_by)


def test_the_traces_of_a_subject_are_one_cluster():
    apart, together = driver({}), driver({})
    for drive, subject in ((apart, None), (together, "subject-1")):
        for number in range(1, 21):
            send(drive, [reviewed(number, subject_id=subject if number <= 10 else f"other-{number}"), truth(number, float(number % 2))])
    assert (newest(apart).n_clusters, newest(together).n_clusters) == (20, 11)
    assert newest(apart).value == newest(together).value == 0.5
    assert together.out_of(ESTIMATES)[-1].std_error != apart.out_of(ESTIMATES)[-1].std_error


def test_what_is_not_asked_for_is_left_out():
    drive = driver()
    send(drive, [*judged([0.5], name="toxicity"), *(each.model_copy(update={"application": "shop"}) for each in judged([0.5]))])
    drive.send(reviewed(1).model_copy(update={"stratum": "appeal"}))
    drive.send(truth(1, 1.0))
    drive.send(reviewed(2).model_copy(update={"policy_version": 9}))
    assert drive.out == []
    assert drive.outcomes == {"no_judge": 2, "no_policy": 3, "not_drawn": 1, "counted": 1}


def test_an_older_truth_counts_for_nothing():
    drive = driver({})
    drive.send(reviewed(1))
    drive.send(truth(1, 0.0), source=Source("truths", 0, 5))
    drive.send(truth(1, 1.0), source=Source("truths", 0, 3))
    assert (newest(drive).value, drive.outcomes["stale"]) == (0.0, 1)


def test_the_old_is_forgotten():
    drive = driver({"estimates": {"keep_days": 30}})
    send(drive, [reviewed(1), truth(1, 1.0), truth(2, 1.0), reviewed(3, occurred_at=START + timedelta(days=50)), truth(3, 0.0)])
    assert drive.keys == ("task-3",)
    assert drive.outcomes["expired"] == 2


def test_sampling_tells_what_reviewers_must_not_see():
    drive = ProcessorDriver(sampling.PROCESSOR, context(policy()))
    drive.send(trace(1, scores={"judge": 0.25}, subject_id="subject-1"))
    (told,) = drive.out_of(REVIEWED_TRACES)
    assert (told.scores, told.sampling_prob, told.served) == ({"judge": 0.25}, 1.0, candidate_id(KEY, told.task_id, 0))
    assert told.cluster
    assert "subject-1" not in told.model_dump_json()
    assert is_whole(estimates.PROCESSOR)


def test_active_sampling_does_not_bias_what_is_told():
    """Where the judge is low six times as many are labelled: the plain mean of the labels is far off, the estimates are not."""
    errors = {"plain": [], "hajek": [], "aipw": [], "value": []}
    for run in range(12):
        rows = population(600, SEED + run)
        drive = driver()
        with drive.batch():
            send(drive, judged([score for _, _, score, _, _ in rows]))
            for number, good, score, probability, drawn in rows:
                if drawn:
                    send(drive, [reviewed(number, probability, score), truth(number, good)])
        true = fmean(row[1] for row in rows)
        found = newest(drive)
        errors["plain"].append(fmean(row[1] for row in rows if row[4]) - true)
        for name in ("hajek", "aipw", "value"):
            errors[name].append(getattr(found, name) - true)
    bias = {name: fmean(each) for name, each in errors.items()}
    spread = {name: (sum(e * e for e in each) / len(each)) ** 0.5 for name, each in errors.items()}
    assert bias["plain"] < -0.15
    for name in ("hajek", "aipw", "value"):
        assert abs(bias[name]) < 0.02, bias
    assert spread["value"] < spread["hajek"]


def voices(number):
    return [StandingVoice(label_id=f"label-{each}", reviewer_id=f"r{each}", weight=1.0) for each in range(number)]


def gaps(drive):
    return [(event.metric, event.slice, event.loss_values().tolist(), event.worst[0].trace_id) for event in drive.out_of(DRIFT_OBSERVATIONS)]


@pytest.mark.parametrize("trace_first", [True, False])
def test_drift_is_told_once_how_far_complete_labels_lie_from_the_judge(trace_first):
    drive = driver(SECTIONS | {"sampling": {"labels_needed": 2}})
    halves = [reviewed(1, score=0.9), truth(1, 0.25, labels=voices(2))]
    send(drive, halves if trace_first else reversed(halves))
    expected = [("judge-gap:accuracy", name, [pytest.approx(0.65)], "trace-1") for name in ("all", "locale=de")]
    assert sorted(gaps(drive)) == expected
    drive.send(truth(1, 1.0, event_id="edited", labels=voices(3)))
    assert len(gaps(drive)) == 2, "once per task: an item that counts twice would count for more"
    drive.replay()
    assert len(gaps(drive)) == 2


def test_no_gap_without_a_judge_a_score_or_all_labels():
    told = truth(1, 0.25, labels=voices(2))
    for events, sections in (
        ([reviewed(1, score=0.9), told.model_copy(update={"labels": voices(1)})], SECTIONS),
        ([reviewed(1, score=None), told], SECTIONS),
        ([reviewed(1, score=0.9), told], {"estimates": {"judge": {"tone": "judge"}}}),
        ([reviewed(1, score=0.9), truth(1, None, labels=voices(2))], SECTIONS),
    ):
        drive = driver(sections)
        send(drive, events)
        assert gaps(drive) == []
