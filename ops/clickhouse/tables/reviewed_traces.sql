CREATE TABLE IF NOT EXISTS reviewed_traces
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `task_id` String COMMENT 'The task that it became.',
    `trace_id` String COMMENT 'The trace.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that it is judged by.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `policy_id` LowCardinality(String) COMMENT 'The policy that sampled it.',
    `policy_version` Int64 COMMENT 'Version of the policy, >= 1.',
    `sampling_prob` Float64 COMMENT 'Probability with which it was to be included, (0, 1].',
    `stratum` LowCardinality(String) COMMENT 'The stratum that the probability belongs to.',
    `served` String COMMENT 'Blind id of the candidate that was served to the user.',
    `slices` Map(LowCardinality(String), String) COMMENT 'Segments of the trace: name to value.',
    `scores` Map(LowCardinality(String), Float64) COMMENT 'Model and judge scores of the trace by name, each in [0, 1].',
    `cluster` Nullable(String) COMMENT 'Hash of the subject or the conversation (policy: `estimates.cluster_by`), whose traces may be alike; null without any.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'A trace that was queued for review: what a population estimate needs of it, and reviewers must not see. Internal topic `reviewed-traces`, key `task_id`. It lies beside the task, because a task says nothing that unblinds.';
