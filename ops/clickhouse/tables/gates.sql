CREATE TABLE IF NOT EXISTS gates
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `candidate` String COMMENT 'Id of the candidate checkpoint.',
    `candidate_uri` String COMMENT 'Where it lies.',
    `candidate_sha256` String COMMENT 'SHA-256 over its manifest.',
    `baseline` LowCardinality(String) COMMENT 'Id of the checkpoint it was compared with.',
    `verdict` LowCardinality(String) COMMENT 'PASS, BLOCK or INCONCLUSIVE.',
    `reasons` Array(LowCardinality(String)) COMMENT 'Why, over all dimensions.',
    `dimensions` Array(Tuple(dimension LowCardinality(String), slice LowCardinality(String), evaluator LowCardinality(String), verdict LowCardinality(String), reasons Array(LowCardinality(String)), n Int64, candidate Nullable(Float64), candidate_low Nullable(Float64), candidate_high Nullable(Float64), baseline Nullable(Float64), difference Nullable(Float64), difference_low Nullable(Float64), difference_high Nullable(Float64), ties Nullable(Int64), answers_missing Nullable(Int64), floor Nullable(Float64), max_regression Nullable(Float64), superior Bool, safety Bool, max_failures Nullable(Int64), confidence Float64, pass_p Nullable(Float64), block_p Nullable(Float64), labels_needed Nullable(Int64))) COMMENT 'Verdict per dimension and slice.',
    `labels_needed` Nullable(Int64) COMMENT 'Further items, or answers of people, that would probably settle an INCONCLUSIVE; 0 when settled, null when it cannot be said.',
    `evaluation_id` String COMMENT 'Event id of the evaluation that it stands on.',
    `look_family` Int64 COMMENT 'Family of looks at the same calibration items, >= 1; 0 when there was too little to look at.',
    `look` Int64 COMMENT 'Number of this look in its family, >= 1; 0 when there was too little to look at.',
    `candidate_look` Int64 COMMENT 'Number of this look among those at the candidate in the family, >= 1; 0 when there was too little.',
    `alpha` Nullable(Float64) COMMENT 'One-sided error that this look may spend, (0, 0.5); null when it was no look.',
    `job_id` String COMMENT 'The job that trained the candidate.',
    `policy_id` LowCardinality(String) COMMENT 'The policy that was applied.',
    `policy_version` Int64 COMMENT 'Version of that policy, >= 1.',
    `policy_hash` LowCardinality(String) COMMENT 'Content hash of the policy.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that was applied.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `rubric_hash` LowCardinality(String) COMMENT 'Content hash of the rubric.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Whether a candidate may be released. Topic `gates`, key `candidate`.';
