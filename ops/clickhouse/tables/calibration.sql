CREATE TABLE IF NOT EXISTS calibration
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `item_id` String COMMENT 'Id of the item: a hash of application and prompt.',
    `prompt_hash` String COMMENT 'Identity of the prompt.',
    `trace_id` String COMMENT 'The trace that brought the prompt.',
    `reason` LowCardinality(String) COMMENT 'HASH_SPLIT: a drawn trace brought it. APPEAL: a user objected to the answer. Both: by the hash of the prompt or its cluster.',
    `slices` Map(LowCardinality(String), String) COMMENT 'Segments of the trace: name to value.',
    `messages` Array(Tuple(role LowCardinality(String), content String)) COMMENT 'The prompt, oldest turn first.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (item_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'A held-out prompt. Compacted topic `calibration`, key `item_id`. Its prompt is never trained on.';
