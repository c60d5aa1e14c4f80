CREATE TABLE IF NOT EXISTS labels
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `task_id` String COMMENT 'The task that is answered.',
    `reviewer_id` String COMMENT 'Pseudonym of the reviewer.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that was applied.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `ratings` Array(Tuple(candidate_id String, dimension LowCardinality(String), value Int64)) COMMENT 'Ratings per candidate and dimension.',
    `preferences` Array(Tuple(dimension LowCardinality(Nullable(String)), preferred Nullable(String))) COMMENT 'Preferences per dimension and overall.',
    `spans` Array(Tuple(candidate_id String, start Int64, end Int64, dimension LowCardinality(String), severity LowCardinality(String), replacement Nullable(String))) COMMENT 'Errors marked in the completions.',
    `rewrite` Tuple(candidate_id Nullable(String), completion Nullable(String)) COMMENT 'A better completion; null when none was written. Stored as a tuple; null is a tuple of nulls.',
    `critiques` Array(Tuple(candidate_id String, principle LowCardinality(String), text String)) COMMENT 'Critiques by principle.',
    `seconds_spent` Nullable(Float64) COMMENT 'Active time on the task, seconds, >= 0; null when not measured.',
    `supersedes` Nullable(String) COMMENT 'Event id of the label that this one replaces; null for a first label.',
    `retracts` Nullable(String) COMMENT 'Event id of the label that is taken back; null unless this is a retraction.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'A reviewer\'s verdict on a task. Topic `labels`, key `task_id`. Its `event_id` is the label id. A label with `supersedes` replaces an earlier one of the same reviewer; one with `retracts` only takes it back.';
