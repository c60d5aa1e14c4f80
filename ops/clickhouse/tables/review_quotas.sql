CREATE TABLE IF NOT EXISTS review_quotas
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `quota_id` String COMMENT 'Hash of the signal that caused it and of the policy, so that a replay opens the same quota.',
    `slice` LowCardinality(String) COMMENT '\'all\' or \'name=value\'.',
    `rate` Float64 COMMENT 'Least probability with which traces of the slice are reviewed meanwhile, (0, 1].',
    `starts_at` DateTime64(6, 'UTC') COMMENT 'From this time of traces on, UTC.',
    `ends_at` DateTime64(6, 'UTC') COMMENT 'Up to this time of traces, itself not included, UTC.',
    `series_id` String COMMENT 'The series that gave the alarm.',
    `drift_signal_id` String COMMENT 'Event id of the alarm in `drift`.',
    `policy_id` LowCardinality(String) COMMENT 'The policy that asked for it.',
    `policy_version` Int64 COMMENT 'Version of that policy, >= 1.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (quota_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'A call for more reviews of a slice for a time. Topic `review-quotas`, key `quota_id`. Opened by a drift alarm, as the policy says.';
