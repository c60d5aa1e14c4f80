CREATE TABLE IF NOT EXISTS dead_letters
(
    `topic` LowCardinality(String) COMMENT 'Topic of the refused record, as the registry names it.',
    `partition` Nullable(Int32) COMMENT 'Its partition; null when the dead letter does not say.',
    `offset` Nullable(Int64) COMMENT 'Its offset; null when the dead letter does not say.',
    `error_class` LowCardinality(String) COMMENT 'Class of the error, a RejectReason; UNKNOWN when the dead letter does not say.',
    `message` String COMMENT 'What was wrong, without any of the payload.',
    `attempt` Int32 COMMENT 'Attempts made, >= 1.',
    `consumer` LowCardinality(String) COMMENT 'The worker that refused it.',
    `first_failed_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was refused first, UTC; null when the dead letter does not say.',
    `payload_bytes` Int64 COMMENT 'Size of the payload, bytes. The payload itself stays in Kafka.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (_topic, _partition, _offset)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Records that could not be processed, of all topics. Use v_dead_letters.';
