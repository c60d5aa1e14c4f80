CREATE TABLE IF NOT EXISTS drift_observations
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `series_id` String COMMENT 'The series: application, metric, slice and rubric version.',
    `metric` LowCardinality(String) COMMENT '\'dimension:NAME\' for rubric ratings, \'score:NAME\' for model scores.',
    `slice` LowCardinality(String) COMMENT '\'all\' or \'name=value\'.',
    `trace_id` String COMMENT 'The trace that was observed.',
    `checkpoint` LowCardinality(Nullable(String)) COMMENT 'Id of the serving checkpoint; null when unknown.',
    `loss` Float64 COMMENT 'Loss of this item, [0, 1], 0 is best.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'One bounded loss. Internal topic `drift-observations`, key `series_id`.';
