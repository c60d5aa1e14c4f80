CREATE TABLE IF NOT EXISTS truths
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `task_id` String COMMENT 'The task.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that was applied.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `labels` Array(Tuple(label_id String, reviewer_id String, weight Float64, involved Bool)) COMMENT 'The labels that count, by reviewer; empty when all were taken back.',
    `units` Array(Tuple(dimension LowCardinality(String), candidate_id Nullable(String), categories Array(Int64), probabilities Array(Float64), mean Nullable(Float64), n_labels Int64, decided Nullable(Int64))) COMMENT 'What they speak of, by dimension and candidate.',
    `adjudicate` Bool COMMENT 'Whether an adjudicator should decide: the task has its labels, and of some unit that none decided no value is likely enough by policy.',
    `adjudicators` Array(Tuple(label_id String, reviewer_id String, weight Float64, involved Bool)) COMMENT 'The labels that count on the task\'s adjudication, by reviewer: they decide what they speak of.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'What is probably true of one task, given who said what and how reliable they are. Topic `truths`, key `task_id`; the newest event of a task counts. It stands on labels alone: a known answer of the task itself is not used, so that nothing here shows which task is gold.';
