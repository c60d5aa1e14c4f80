CREATE TABLE IF NOT EXISTS slice_disagreements
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `disagreement_id` String COMMENT 'Hash of the series and the agreement that it was read off, so that a replay tells the same.',
    `dimension` LowCardinality(String) COMMENT 'Dimension of the rubric; \'overall\' or \'preference:NAME\' for preferences; \'spans:NAME\' for marked spans.',
    `slice` LowCardinality(String) COMMENT '\'all\' or \'name=value\'.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that was applied.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `disagreement` Float64 COMMENT '1 less the observed agreement of the newest window, [0, 1].',
    `n_tasks` Int64 COMMENT 'Tasks that it stands on, >= 1.',
    `starts_at` DateTime64(6, 'UTC') COMMENT 'From this time of traces on, UTC: a full hour, so that probabilities change at few moments.',
    `agreement_id` String COMMENT 'Event id of the estimate in `agreement`.',
    `policy_id` LowCardinality(String) COMMENT 'The policy that asked for it.',
    `policy_version` Int64 COMMENT 'Version of that policy, >= 1.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (disagreement_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'How far reviewers disagree on a dimension in a slice: one of the doubts that sampling may follow. Topic `slice-disagreements`, key `disagreement_id`. It holds from `starts_at` until the next one of its dimension, slice and rubric version begins.';
