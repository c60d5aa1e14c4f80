CREATE TABLE IF NOT EXISTS drift
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `series_id` String COMMENT 'The series: application, metric, slice and rubric version.',
    `metric` LowCardinality(String) COMMENT '\'dimension:NAME\' for rubric ratings, \'score:NAME\' for model scores.',
    `slice` LowCardinality(String) COMMENT '\'all\' or \'name=value\'.',
    `detector` LowCardinality(String) COMMENT 'Name of the detector.',
    `state` LowCardinality(String) COMMENT 'NO_DATA, OK, WARNING or ALARM.',
    `log_e_value` Nullable(Float64) COMMENT 'Natural logarithm of the detector\'s e-statistic, any finite number; null before the reference is full.',
    `threshold` Nullable(Float64) COMMENT 'Value of `log_e_value` at which it alarms, in its unit (natural logarithm).',
    `arl_target` Nullable(Float64) COMMENT 'Declared average number of observations between false alarms, > 0.',
    `n_reference` Int64 COMMENT 'Observations in the reference, >= 0.',
    `reference_mean` Nullable(Float64) COMMENT 'Mean loss of the reference, [0, 1]; null without one.',
    `n_current` Int64 COMMENT 'Observations since the reference was full or the detector restarted, >= 0.',
    `current_mean` Nullable(Float64) COMMENT 'Mean loss of those, [0, 1]; null without any.',
    `checkpoint` LowCardinality(Nullable(String)) COMMENT 'Serving checkpoint of the newest observation; null when unknown.',
    `evidence_trace_ids` Array(String) COMMENT 'Newest traces with the largest losses, at most 20.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'What a detector says of a series. Topic `drift`, key `series_id`.';
