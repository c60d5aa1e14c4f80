"""Poison pills of every kind in the middle of good records: each is refused once by each of its readers, and hurts nothing beside it."""

import time
from collections import Counter, defaultdict
from datetime import UTC, datetime

import pytest

from tests.faults import pills
from tests.faults.conftest import SharedLoop
from tests.faults.foreign import Foreign, trace_event
from tests.faults.load import BeginLoad, trace_fields
from tests.faults.loop import until
from tests.faults.observed import observe
from tests.faults.reconciler import READERS, reconcile
from tests.faults.table import Table


@pytest.mark.parametrize("rounds", [pytest.param(1, id="short"), pytest.param(15, id="long", marks=pytest.mark.faults)])
def test_poison_pills_of_every_kind_in_the_middle_of_a_batch(shared: SharedLoop, begin_load: BeginLoad, table: Table, rounds: int) -> None:
    loop, foreign = shared.loop, Foreign(shared.loop.places)
    load = begin_load(loop, "poisoned")
    until(lambda: len(load.panel.complete) >= 10, "some tasks are labelled")
    kinds: Counter[tuple[str, str]] = Counter()

    def send(topic: str, kind: str, value: bytes | None, key: str = "pill") -> None:
        kinds[topic, kind.split(maxsplit=1)[0]] += 1
        foreign.send(topic, key, value, f"{topic} {kind} {kinds[topic, kind.split(maxsplit=1)[0]]}")

    for number in range(rounds):
        good = [trace_event(trace_fields("poisoned", 10**6 + 100 * number + n), "poisoned", datetime.now(UTC)) for n in range(60)]
        for place, event in enumerate(good):
            foreign.send("traces", event["trace_id"], foreign.encode("traces", event), event["trace_id"])
            if place == 20:
                for topic in pills.RAW_TOPICS:
                    for kind, value in pills.bytes_that_are_no_event(foreign, topic, number).items():
                        send(topic, kind, value)
            if place == 40:
                for kind, invalid in pills.invalid_traces(f"poisoned-{number}"):
                    reason = "any" if kind == "no messages" else "INVALID_EVENT"
                    send("traces", f"{reason} {kind}", foreign.encode("traces", invalid | {"application": "poisoned"}))
                long = pills.too_long_trace(f"poisoned-{number}")
                send("traces", "TOO_LARGE", foreign.encode("traces", long | {"application": "poisoned"}))
                for kind, value in pills.traces_cut_short(foreign, "poisoned", number):
                    send("traces", kind, value)
                send("traces", "any large", pills.random_bytes(pills.LARGE))
                foreign.send("traces", "pill", pills.random_bytes(pills.TOO_LARGE), f"beyond the limit {number}")
        task_id, candidates = list(load.panel.candidates.items())[number]
        for kind, label in pills.faulty_labels("poisoned", task_id, candidates):
            send("labels", kind, foreign.encode("labels", label | {"event_id": f"{label['event_id']}-{number}"}), label["task_id"])
        load.goes_on(1.5)
    foreign.flush()
    over = time.monotonic()
    assert {name for name in foreign.refused if not name.startswith("beyond the limit")} == set()
    assert set(foreign.refused.values()) == {"MSG_SIZE_TOO_LARGE"}, "the producer of a record beyond the limit has to be told"
    assert len(foreign.refused) == rounds
    loop.recovery()
    recovery = time.monotonic() - over
    sent = load.finish()
    observed = observe(loop.places, load.application, load.since)
    told: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for letter in observed.letters:
        told[letter.headers["consumer"]][letter.headers["original-topic"], letter.headers["error-class"]] += 1
    for (topic, reason), count in kinds.items():
        for reader in READERS.get(topic, {"sink"}) if reason != "any" else ():
            beyond_bytes = reason in ("INVALID_EVENT", "TOO_LARGE", "UNKNOWN_TASK", "UNKNOWN_CANDIDATE", "UNKNOWN_DIMENSION", "OFF_SCALE", "EMPTY_LABEL",
                                      "RUBRIC_MISMATCH", "UNKNOWN_LABEL")  # fmt: skip
            if not (beyond_bytes and reader in ("sink", "reviewers")):
                assert told[reader][topic, reason] >= count, f"{reader} refused {told[reader][topic, reason]} of {count} {reason} on {topic}"
    assert {code for worker in loop.workers.values() for code in worker.endings} == set(), "a pill ended a worker"
    found = reconcile(observed, sent)
    table.add("poison pills in the middle of a batch", found, recovery, f"{sum(kinds.values())} pills of {len(kinds)} kinds by topic", kinds=len(kinds))
