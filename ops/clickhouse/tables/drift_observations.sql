CREATE TABLE IF NOT EXISTS drift_observations
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `series_id` String COMMENT 'The series: application, metric, slice and rubric version.',
    `metric` LowCardinality(String) COMMENT '\'dimension:NAME\', \'disagreement:NAME\', \'judge-gap:NAME\', \'score:NAME\', \'error\', \'refusal\' or \'limit:...\'.',
    `slice` LowCardinality(String) COMMENT '\'all\' or \'name=value\'.',
    `source` Nullable(String) COMMENT '\'topic/partition\' where the traces were read; null when the losses come from labels.',
    `losses` String COMMENT 'Loss of each item in [0, 1], 0 is best: little-endian float64, one after the other; at least one.',
    `marks` String COMMENT 'Hash of each item\'s id: little-endian int64, as many as losses. What was produced twice is known by it.',
    `offsets` String COMMENT 'Offset of each trace in `source`, ascending: little-endian int64. What is sent again is known by it. Empty without a source.',
    `checkpoints` Array(String) COMMENT 'Ids of the checkpoints that answered, each once; empty when none is known.',
    `checkpoint_of` String COMMENT 'Place in `checkpoints` of each item\'s checkpoint, -1 when unknown: little-endian int64. Empty when at most one answered all.',
    `worst` Array(Tuple(place Int64, trace_id String)) COMMENT 'The items with the largest losses above 0, largest first, at most 20.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Bounded losses of one series, in their order. Internal topic `drift-observations`, key `series_id`. One event holds what one batch of traces says of a series, and its numbers lie as they do in memory: at thousands of traces a second an event, or even a number by itself, for each of them would cost more than the trace.';
