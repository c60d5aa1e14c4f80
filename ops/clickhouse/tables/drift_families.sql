CREATE TABLE IF NOT EXISTS drift_families
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `family` String COMMENT 'Which series were looked at together: \'losses\' for all series of losses of the application.',
    `fdr` Float64 COMMENT 'Expected share of false ones among the rejected that is allowed, (0, 1).',
    `n_series` Int64 COMMENT 'Series that were looked at, those without a full window among them, >= 0.',
    `rejected` Array(Tuple(series_id String, metric LowCardinality(String), slice LowCardinality(String), log_e_value Float64, n Int64)) COMMENT 'The series that have drifted, the largest e-value first.',
    `log_threshold` Nullable(Float64) COMMENT 'Natural logarithm of the e-value that sufficed, any finite number; null when nothing was found.',
    `n_observed` Int64 COMMENT 'Losses of all these series so far, >= 0.',
    `arl_target` Nullable(Float64) COMMENT 'Declared losses per false alarm, > 0: of `n_observed` losses at most `n_observed` / `arl_target` false alarms are expected.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Which series of an application have drifted together, with their false discovery rate controlled. Topic `drift-families`, key `application`. Told whenever the rejected series change.';
