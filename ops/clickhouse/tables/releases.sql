CREATE TABLE IF NOT EXISTS releases
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `checkpoint` LowCardinality(String) COMMENT 'Id of the checkpoint that serves from now on.',
    `checkpoint_uri` String COMMENT 'Where it lies.',
    `checkpoint_sha256` String COMMENT 'SHA-256 over its manifest.',
    `previous` LowCardinality(Nullable(String)) COMMENT 'Id of the checkpoint that served before; null for the first.',
    `previous_uri` Nullable(String) COMMENT 'Where that one lies; null when it is not known.',
    `previous_sha256` Nullable(String) COMMENT 'SHA-256 over its manifest; null when it is not known.',
    `reason` LowCardinality(String) COMMENT 'INITIAL, GATE_PASS, ROLLBACK or MANUAL.',
    `gate_id` Nullable(String) COMMENT 'Event id of the gate decision that let it pass; null when it was no gate that released it.',
    `causes` Array(String) COMMENT 'Event ids that led to it, the nearest first: of a rollback by an alarm the drift signal, the release that is taken back and its gate.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Which checkpoint serves an application. Compacted topic `releases`, key `application`; a rollback is a release too.';
