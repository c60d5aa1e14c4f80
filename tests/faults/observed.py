"""A snapshot of a deployment: what its topics and tables hold for one application."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.reading import Place, Places, Record, Tables, Topics

COMPACTED = ("reviewers", "calibration", "dataset-versions", "releases", "rubrics", "policies")
"""Topics that keep the newest record of a key; a record without value is a deletion there."""
LETTERS = ".dead-letters"
SERIES_BYTES = 32
CHANGELOG = "trueloop-drift-state-changelog"


@dataclass
class Observed:
    """What was found. Counters tell how often a row is there, as queried: through FINAL or a view.

    Attributes:
        records: Records by topic, from where the observation begins.
        policy: The application's policy, its hash, and its rubric.
        letters: Records on the dead-letter topics.
        drift_states: The newest state of the drift worker by series.
        tables: Per table of a topic, how often each event id is there.
        repeated: Per table, rows beyond the first of the same offset, before any merge hides them.
        views: Rows of the views that are compared, by view.
        dead_rows: The rows of v_dead_letters that speak of these records: topic, partition and offset, and the consumers that refused it.
        letter_rows: How often the table of dead letters has each of `letters`.
        blinding_key: What the candidates are blinded with.
    """

    application: str
    records: dict[str, list[Record]]
    policy: Mapping[str, Any]
    policy_hash: str
    rubric: Mapping[str, Any]
    letters: list[Record]
    drift_states: Mapping[str, Mapping[str, Any]]
    tables: dict[str, Counter[str]]
    repeated: dict[str, int]
    views: dict[str, list[list[Any]]]
    dead_rows: list[tuple[tuple[str, int, int], tuple[str, ...]]]
    letter_rows: Counter[tuple[str, int, int]]
    blinding_key: str = ""


VIEWS = {
    "v_review_queue": "SELECT task_id FROM v_review_queue WHERE application = '{application}'",
    "calibration": "SELECT item_id FROM calibration FINAL WHERE application = '{application}'",
    "v_labels": "SELECT label_id, counts FROM v_labels WHERE application = '{application}'",
    "v_agreement": (
        "SELECT dimension, slice, toUnixTimestamp64Micro(window_end), n_units, n_labels, p_o, alpha_nominal, alpha_ordinal "
        "FROM v_agreement WHERE application = '{application}'"
    ),
    "v_pairs": "SELECT pair_id, chosen, margin, arraySort(label_ids) FROM v_pairs WHERE application = '{application}'",
    "v_drift_observations": (
        "SELECT metric, slice, toString(mark), count(), any(loss) FROM v_drift_observations WHERE application = '{application}' GROUP BY ALL"
    ),
    "training_requests": "SELECT job_id FROM training_requests WHERE application = '{application}'",
}


def observe(places: Places, application: str, since: Mapping[Place, int]) -> Observed:
    """Read everything of one application; records from `since` on. The deployment has to be at rest."""
    topics, tables = Topics(places), Tables(places)
    names = topics.names()
    of_events = {name: n for name, n in names.items() if not name.endswith((LETTERS, ".retry", "-changelog"))}
    documents = {name: of_events.pop(name) for name in ("rubrics", "policies")}
    records: dict[str, list[Record]] = {name: [] for name in of_events}
    for record in topics.events(of_events, COMPACTED, since):
        records[record.topic].append(record)
    policy, policy_hash, rubric = _governing(topics, documents, application)
    letters = [r for r in topics.raw({name: n for name, n in names.items() if name.endswith(LETTERS)}, since) if "replayed-at" not in r.headers]
    changelog = {CHANGELOG: names[CHANGELOG]} if CHANGELOG in names else {}
    # Keys that are no series are the changelog's own.
    states = {r.key.decode(): json.loads(r.value) for r in topics.raw(changelog) if r.value is not None and r.key is not None and len(r.key) == SERIES_BYTES}
    holding = tables.holding_records()
    return Observed(
        application=application,
        records=records,
        policy=policy,
        policy_hash=policy_hash,
        rubric=rubric,
        letters=letters,
        drift_states=states,
        tables={name: _event_ids(tables, name.replace("-", "_"), application) for name in of_events if name.replace("-", "_") in holding},
        repeated={name: tables.rows(f"SELECT count() - uniqExact(_topic, _partition, _offset) FROM {name}")[0][0] for name in holding if name != "_positions"},
        views={name: tables.rows(sql.format(application=application)) for name, sql in VIEWS.items()},
        dead_rows=[
            ((topic, partition, offset), tuple(consumers))
            for topic, partition, offset, consumers in tables.rows("SELECT topic, partition, offset, consumers FROM v_dead_letters")
            if offset is None or offset >= since.get((topic, partition), 0)
        ],
        letter_rows=Counter(
            {
                (topic, partition, offset): n
                for topic, partition, offset, n in tables.rows("SELECT _topic, _partition, toInt64(_offset), count() FROM dead_letters FINAL GROUP BY ALL")
                if offset >= since.get((topic, partition), 0)
            }
        ),
        blinding_key=places.blinding_key,
    )


def _event_ids(tables: Tables, table: str, application: str) -> Counter[str]:
    return Counter(dict(tables.rows(f"SELECT event_id, count() FROM {table} FINAL WHERE application = '{application}' GROUP BY event_id")))


def _governing(topics: Topics, documents: Mapping[str, int], application: str) -> tuple[Mapping[str, Any], str, Mapping[str, Any]]:
    rubrics: dict[tuple[str, int], Any] = {}
    policies: list[tuple[Any, str]] = []
    for record in topics.events(documents, COMPACTED):
        event = record.event
        if event is None:
            continue
        document = json.loads(event["document"])
        if record.topic == "rubrics":
            rubrics[event["rubric_id"], event["version"]] = document
        elif event["application"] == application:
            policies.append((document, event["content_hash"]))
    if len(policies) != 1:
        raise ValueError(f"{application!r} has {len(policies)} policies; this reconciler knows how to follow one")
    ((policy, policy_hash),) = policies
    return policy, policy_hash, rubrics[policy["rubric"]["id"], policy["rubric"]["version"]]
