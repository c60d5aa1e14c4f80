CREATE TABLE IF NOT EXISTS drift_values
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `series_id` String COMMENT 'The series: application, metric and slice.',
    `metric` LowCardinality(String) COMMENT '\'latency_ms\', \'prompt_tokens\', \'completion_tokens\', \'completion_chars\' or \'embedding\'.',
    `slice` LowCardinality(String) COMMENT '\'all\' or \'name=value\'.',
    `source` String COMMENT '\'topic/partition\' where the traces were read.',
    `width` Int64 COMMENT 'Numbers per item, 1, or 384 of an embedding; >= 1.',
    `values` String COMMENT 'Of numbers (width 1) little-endian float64, >= 0; of embeddings the unit vectors in steps of 1/1024, little-endian int16, all 0 for one without a direction. At least one item.',
    `marks` String COMMENT 'Hash of each trace\'s id: little-endian int64. What was produced twice is known by it.',
    `offsets` String COMMENT 'Offset of each trace in `source`, ascending: little-endian int64. What is sent again is known by it.',
    `checkpoints` Array(String) COMMENT 'Ids of the checkpoints that answered, each once; empty when none is known.',
    `checkpoint_of` String COMMENT 'Place in `checkpoints` of each item\'s checkpoint, -1 when unknown: little-endian int64. Empty when at most one answered all.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Values of one distribution, in their order. Internal topic `drift-values`, key `series_id`. One event holds what one batch of traces says of a series, item by item: whoever was killed sends some items again in other batches, and sums over a batch could not be told apart then.';
