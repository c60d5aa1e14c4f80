CREATE TABLE IF NOT EXISTS policies
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `policy_id` LowCardinality(String) COMMENT 'Id of the policy.',
    `version` Int64 COMMENT 'Version, >= 1.',
    `content_hash` LowCardinality(String) COMMENT 'Hash of the document; stamped on every event that used it.',
    `document` String COMMENT 'The policy, canonical JSON.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (policy_id, version)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'A version of a policy. Compacted topic `policies`, key `policy_id@version`. In force for its application from `occurred_at`.';
