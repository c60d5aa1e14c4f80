# ruff: noqa: S608 - queries of our own; what is asked about reaches them as a parameter
"""What leads to what, as queries: for each kind of thing, what it came from and what came of it.

Each query answers with (id, said): the id of a thing and a few words on it, made of ids, numbers and enumerations. No text that a person wrote is
among them. `{id:String}` is the thing that is asked about; the newest come first.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """What to ask: the kind that answers, in which role, and whether the walk ends there because its own past is another story."""

    kind: str
    sql: str
    role: str = ""
    ends: bool = False


_TRACE = "'by ' || ifNull(checkpoint, model) || ', ' || consent AS said"
_TASK = "lower(form) || ', ' || toString(labels_needed) || ' labels wanted, rubric ' || rubric_id || '@' || toString(rubric_version) AS said"
_LABEL = "'by ' || reviewer_id || ', rubric ' || rubric_id || '@' || toString(rubric_version) AS said"
_PAIR = "lower(source) || ', margin ' || toString(round(margin, 3)) || if(withdrawn, ', withdrawn', '') AS said"
_DATASET = "toString(n_items) || ' items, ' || toString(n_new) || ' new, content ' || substring(content_hash, 1, 12) AS said"
_EVALUATION = "toString(n_items) || ' held-out prompts, version ' || toString(calibration_version) AS said"
_GATE = "verdict || ' (' || arrayStringConcat(reasons, ', ') || '), policy ' || policy_id || '@' || toString(policy_version) AS said"
_RELEASE = "lower(reason) || ' of ' || checkpoint AS said"
_ALARM = "state || ' of ' || metric || ', ' || slice AS said"
_RESULT = "method || ', ' || toString(step) || ' steps, ' || toString(round(seconds)) || ' s' AS said"
_REQUEST = "method || ', ' || lower(reason) || ', rubric ' || rubric_id || '@' || toString(rubric_version) AS said"
_OUTCOME = "verdict || ' on ' || dimension || if(senior, ', by a senior', '') AS said"
_TRIAL = "'of ' || substring(item_id, 1, 12) || ' in evaluation ' || substring(evaluation_id, 1, 12) AS said"
_DATASET_ID = "name || '@' || toString(version)"

IDENTITIES: dict[str, tuple[str, ...]] = {
    "trace": (f"SELECT trace_id AS id, {_TRACE} FROM traces",),
    "task": (f"SELECT task_id AS id, {_TASK} FROM review_queue",),
    "label": (f"SELECT event_id AS id, {_LABEL} FROM labels",),
    "pair": (f"SELECT pair_id AS id, {_PAIR} FROM preference_pairs",),
    "dataset": (f"SELECT {_DATASET_ID} AS id, {_DATASET} FROM dataset_versions",),
    "job": (f"SELECT job_id AS id, {_REQUEST} FROM training_requests",),
    "checkpoint": (
        f"SELECT assumeNotNull(checkpoint) AS id, {_RESULT} FROM training_results WHERE checkpoint IS NOT NULL",
        "SELECT checkpoint AS id, 'was released' AS said FROM releases",
    ),
    "evaluation": (f"SELECT event_id AS id, {_EVALUATION} FROM evaluations",),
    "trial": (f"SELECT trial_id AS id, {_TRIAL} FROM trials",),
    "outcome": (f"SELECT event_id AS id, {_OUTCOME} FROM trial_outcomes",),
    "gate": (f"SELECT event_id AS id, {_GATE} FROM gates",),
    "release": (f"SELECT event_id AS id, {_RELEASE} FROM releases",),
    "alarm": (f"SELECT event_id AS id, {_ALARM} FROM drift",),
}
"""Where things of each kind are found."""

_MEMBERS = f"""
SELECT p.pair_id AS id, argMax({_PAIR.removesuffix(" AS said")}, p._offset) AS said
FROM preference_pairs AS p
INNER JOIN (SELECT * FROM dataset_versions WHERE kind = 'PAIRS' AND {_DATASET_ID} = {{id:String}} LIMIT 1) AS d
    ON p.application = d.application AND p.rubric_id = d.rubric_id AND p.rubric_version = d.rubric_version
WHERE p._offset < d.end_offset AND NOT arrayExists(part -> p._offset >= part.1 AND p._offset < part.2, d.excluded) AND p.split = 'TRAIN'
GROUP BY p.pair_id
HAVING NOT argMax(p.withdrawn OR NOT p.trainable, p._offset)
ORDER BY max(p._offset) DESC"""

_SETTLED = "SELECT assumeNotNull(adjudicates) FROM review_queue WHERE task_id = {id:String} AND adjudicates IS NOT NULL"

CAME_FROM: dict[str, tuple[Link, ...]] = {
    "trace": (Link("checkpoint", "SELECT assumeNotNull(checkpoint) AS id, model AS said FROM traces WHERE trace_id = {id:String}", "answered by", ends=True),),
    "task": (
        Link("trace", f"SELECT trace_id AS id, {_TRACE} FROM traces WHERE trace_id IN (SELECT trace_id FROM review_queue WHERE task_id = {{id:String}})"),
        Link("task", f"SELECT task_id AS id, {_TASK} FROM review_queue WHERE task_id IN ({_SETTLED})", "settles"),
        Link("trial", f"SELECT trial_id AS id, {_TRIAL} FROM trials WHERE trial_id IN (SELECT trial.trial_id FROM review_queue WHERE task_id = {{id:String}})"),
    ),
    "trial": (
        Link(
            "checkpoint",
            "SELECT arrayJoin([candidate, baseline]) AS id, 'answered' AS said FROM evaluations WHERE event_id IN "
            "(SELECT evaluation_id FROM trials WHERE trial_id = {id:String})",
            "compares",
            ends=True,
        ),
    ),
    "outcome": (
        Link(
            "label",
            f"SELECT event_id AS id, {_LABEL} FROM labels WHERE event_id IN "
            "(SELECT arrayJoin(label_ids) FROM trial_outcomes WHERE event_id = {id:String}) ORDER BY occurred_at DESC",
        ),
    ),
    "label": (Link("task", f"SELECT task_id AS id, {_TASK} FROM review_queue WHERE task_id IN (SELECT task_id FROM labels WHERE event_id = {{id:String}})"),),
    "pair": (
        Link(
            "label",
            f"SELECT event_id AS id, {_LABEL} FROM labels WHERE event_id IN "
            "(SELECT arrayJoin(label_ids) FROM preference_pairs WHERE pair_id = {id:String}) ORDER BY occurred_at DESC",
        ),
    ),
    "dataset": (
        Link("pair", _MEMBERS),
        Link(
            "dataset",
            f"SELECT name || '@' || toString(assumeNotNull(parent)) AS id, 'grown from it' AS said FROM dataset_versions "
            f"WHERE {_DATASET_ID} = {{id:String}} AND parent IS NOT NULL",
            "parent",
            ends=True,
        ),
    ),
    "job": (
        Link(
            "dataset",
            f"SELECT {_DATASET_ID} AS id, {_DATASET} FROM dataset_versions "
            "WHERE (name, version) IN (SELECT dataset, dataset_version FROM training_requests WHERE job_id = {id:String})",
        ),
        Link("checkpoint", "SELECT base_checkpoint AS id, 'trained on from it' AS said FROM training_requests WHERE job_id = {id:String}", "base"),
    ),
    "checkpoint": (
        Link(
            "job",
            f"SELECT job_id AS id, {_REQUEST} FROM training_requests "
            "WHERE job_id IN (SELECT job_id FROM training_results WHERE status = 'SUCCEEDED' AND checkpoint = {id:String})",
        ),
    ),
    "evaluation": (
        Link("checkpoint", "SELECT candidate AS id, 'the candidate' AS said FROM evaluations WHERE event_id = {id:String}", "candidate"),
        Link("checkpoint", "SELECT baseline AS id, 'what served' AS said FROM evaluations WHERE event_id = {id:String}", "baseline", ends=True),
        Link(
            "dataset",
            f"SELECT {_DATASET_ID} AS id, {_DATASET} FROM dataset_versions WHERE kind = 'CALIBRATION' AND (application, version) IN "
            "(SELECT application, calibration_version FROM evaluations WHERE event_id = {id:String})",
            "calibration",
            ends=True,
        ),
    ),
    "gate": (
        Link(
            "evaluation",
            f"SELECT event_id AS id, {_EVALUATION} FROM evaluations WHERE event_id IN (SELECT evaluation_id FROM gates WHERE event_id = {{id:String}})",
        ),
        Link(
            "outcome",
            f"SELECT event_id AS id, {_OUTCOME} FROM trial_outcomes WHERE evaluation_id IN (SELECT evaluation_id FROM gates WHERE event_id = {{id:String}}) "
            "AND occurred_at <= (SELECT max(occurred_at) FROM gates WHERE event_id = {id:String}) ORDER BY _offset DESC LIMIT 1 BY trial_id, senior",
        ),
    ),
    "release": (
        Link(
            "gate", f"SELECT event_id AS id, {_GATE} FROM gates WHERE event_id IN (SELECT assumeNotNull(gate_id) FROM releases WHERE event_id = {{id:String}})"
        ),
        Link("alarm", f"SELECT event_id AS id, {_ALARM} FROM drift WHERE event_id IN (SELECT arrayJoin(causes) FROM releases WHERE event_id = {{id:String}})"),
        Link(
            "release",
            f"SELECT event_id AS id, {_RELEASE} FROM releases WHERE event_id IN (SELECT arrayJoin(causes) FROM releases WHERE event_id = {{id:String}})",
            "takes back",
        ),
        Link(
            "checkpoint",
            "SELECT checkpoint AS id, 'serves by it' AS said FROM releases WHERE event_id = {id:String} AND gate_id IS NULL AND empty(causes)",
            "releases",
        ),
    ),
    "alarm": (
        Link("checkpoint", "SELECT assumeNotNull(checkpoint) AS id, 'served' AS said FROM drift WHERE event_id = {id:String}", "of", ends=True),
        Link(
            "trace",
            f"SELECT trace_id AS id, {_TRACE} FROM traces WHERE trace_id IN (SELECT arrayJoin(evidence_trace_ids) FROM drift WHERE event_id = {{id:String}})",
            "evidence",
            ends=True,
        ),
    ),
}

CAME_OF: dict[str, tuple[Link, ...]] = {
    "trace": (
        Link("task", f"SELECT task_id AS id, {_TASK} FROM review_queue WHERE trace_id = {{id:String}}"),
        Link("alarm", f"SELECT event_id AS id, {_ALARM} FROM drift WHERE has(evidence_trace_ids, {{id:String}}) ORDER BY occurred_at DESC"),
    ),
    "task": (
        Link("label", f"SELECT event_id AS id, {_LABEL} FROM labels WHERE task_id = {{id:String}} ORDER BY occurred_at DESC"),
        Link("task", f"SELECT task_id AS id, {_TASK} FROM review_queue WHERE adjudicates = {{id:String}}", "settled by"),
    ),
    "trial": (Link("task", f"SELECT task_id AS id, {_TASK} FROM review_queue WHERE trial.trial_id = {{id:String}} ORDER BY trial.senior"),),
    "outcome": (
        Link(
            "gate",
            f"SELECT event_id AS id, {_GATE} FROM gates WHERE evaluation_id IN "
            "(SELECT evaluation_id FROM trial_outcomes WHERE event_id = {id:String}) ORDER BY _offset DESC",
        ),
    ),
    "label": (
        Link(
            "outcome",
            f"SELECT event_id AS id, {_OUTCOME} FROM trial_outcomes WHERE has(label_ids, {{id:String}}) ORDER BY _offset DESC LIMIT 1 BY trial_id, senior",
        ),
        Link("pair", f"SELECT pair_id AS id, {_PAIR} FROM preference_pairs WHERE has(label_ids, {{id:String}}) ORDER BY _offset DESC LIMIT 1 BY pair_id"),
    ),
    "pair": (
        Link(
            "dataset",
            f"SELECT {_DATASET_ID} AS id, {_DATASET} FROM dataset_versions AS d INNER JOIN (SELECT application, rubric_id, rubric_version, "
            "groupArray(_offset) AS offsets FROM preference_pairs WHERE pair_id = {id:String} AND split = 'TRAIN' AND trainable GROUP BY ALL) AS p "
            "ON d.application = p.application AND d.rubric_id = p.rubric_id AND d.rubric_version = p.rubric_version "
            "WHERE d.kind = 'PAIRS' AND arrayExists(place -> place < d.end_offset AND NOT arrayExists(part -> place >= part.1 AND place < part.2, "
            "d.excluded), p.offsets) ORDER BY d.version",
        ),
    ),
    "dataset": (
        Link("job", f"SELECT job_id AS id, {_REQUEST} FROM training_requests WHERE dataset || '@' || toString(dataset_version) = {{id:String}}"),
        Link(
            "evaluation",
            f"SELECT event_id AS id, {_EVALUATION} FROM evaluations WHERE (application, calibration_version) IN "
            f"(SELECT application, version FROM dataset_versions WHERE kind = 'CALIBRATION' AND {_DATASET_ID} = {{id:String}}) ORDER BY occurred_at DESC",
        ),
    ),
    "job": (
        Link("checkpoint", f"SELECT assumeNotNull(checkpoint) AS id, {_RESULT} FROM training_results WHERE status = 'SUCCEEDED' AND job_id = {{id:String}}"),
    ),
    "checkpoint": (
        Link("evaluation", f"SELECT event_id AS id, {_EVALUATION} FROM evaluations WHERE candidate = {{id:String}} ORDER BY occurred_at DESC"),
        Link("release", f"SELECT event_id AS id, {_RELEASE} FROM releases WHERE checkpoint = {{id:String}} ORDER BY _offset DESC"),
        Link("job", f"SELECT job_id AS id, {_REQUEST} FROM training_requests WHERE base_checkpoint = {{id:String}} ORDER BY occurred_at DESC", "trained on"),
        Link("trace", f"SELECT trace_id AS id, {_TRACE} FROM traces WHERE checkpoint = {{id:String}}", "answered", ends=True),
    ),
    "evaluation": (
        Link("gate", f"SELECT event_id AS id, {_GATE} FROM gates WHERE evaluation_id = {{id:String}} ORDER BY _offset DESC"),
        Link("trial", f"SELECT trial_id AS id, {_TRIAL} FROM trials WHERE evaluation_id = {{id:String}}"),
    ),
    "gate": (Link("release", f"SELECT event_id AS id, {_RELEASE} FROM releases WHERE gate_id = {{id:String}}"),),
    "release": (Link("release", f"SELECT event_id AS id, {_RELEASE} FROM releases WHERE has(causes, {{id:String}})", "taken back by"),),
    "alarm": (Link("release", f"SELECT event_id AS id, {_RELEASE} FROM releases WHERE has(causes, {{id:String}})", "rolled back by"),),
}
