CREATE TABLE IF NOT EXISTS gold
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `task_id` String COMMENT 'The task whose answer is known.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that it follows.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `ratings` Array(Tuple(candidate_id String, dimension LowCardinality(String), value Int64)) COMMENT 'The right ratings.',
    `preferences` Array(Tuple(dimension LowCardinality(Nullable(String)), preferred Nullable(String))) COMMENT 'The right preferences.',
    `tolerance` Int64 COMMENT 'Steps on the scale that a rating may be off and still be right, >= 0.',
    `onboarding` Bool COMMENT 'Whether the task belongs to the onboarding set of new reviewers.',
    `withdrawn` Bool COMMENT 'True when the answer turned out to be wrong: then it counts for nothing, and never did.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'The known answer of a task. Topic `gold` (restricted), key `task_id`; the newest event of a task counts. Never shown to reviewers, never trained on.';
