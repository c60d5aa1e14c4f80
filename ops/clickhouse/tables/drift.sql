CREATE TABLE IF NOT EXISTS drift
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `series_id` String COMMENT 'The series: application, metric, slice and rubric version.',
    `metric` LowCardinality(String) COMMENT 'A loss: \'dimension:NAME\', \'disagreement:NAME\', \'judge-gap:NAME\', \'score:NAME\', \'error\', \'refusal\', \'limit:...\'; or a distribution: \'latency_ms\', \'prompt_tokens\', \'completion_tokens\', \'completion_chars\', \'embedding\'.',
    `slice` LowCardinality(String) COMMENT '\'all\' or \'name=value\'.',
    `detector` LowCardinality(String) COMMENT 'Name of the detector or statistic.',
    `state` LowCardinality(String) COMMENT 'NO_DATA, OK, WARNING or ALARM.',
    `log_e_value` Nullable(Float64) COMMENT 'Natural logarithm of the detector\'s e-statistic, any finite number; null before the reference is full.',
    `threshold` Nullable(Float64) COMMENT 'Value of `log_e_value` at which it alarms, in its unit (natural logarithm).',
    `arl_target` Nullable(Float64) COMMENT 'Declared average number of observations between false alarms, > 0.',
    `n_reference` Int64 COMMENT 'Observations in the reference, >= 0.',
    `reference_mean` Nullable(Float64) COMMENT 'Mean loss of the reference, [0, 1]; null without one.',
    `n_current` Int64 COMMENT 'Observations since the reference was full or the detector restarted, or in the window; >= 0.',
    `current_mean` Nullable(Float64) COMMENT 'Mean loss of those, [0, 1]; null without any.',
    `checkpoint` LowCardinality(Nullable(String)) COMMENT 'Serving checkpoint of the newest observation; null when unknown.',
    `evidence_trace_ids` Array(String) COMMENT 'Newest traces with the largest losses, at most 20.',
    `n_observed` Int64 COMMENT 'Observations of the series so far, >= 0: of two signals the one with more is the newer.',
    `reference_number` Int64 COMMENT 'Which window of the series the reference is, >= 1; 0 without one.',
    `reference_checkpoints` Array(String) COMMENT 'Checkpoints that answered in the reference, as far as they are known.',
    `reference_from` Nullable(DateTime64(6, 'UTC')) COMMENT 'Event time of the batch that began the reference, UTC; null without one.',
    `reference_to` Nullable(DateTime64(6, 'UTC')) COMMENT 'Event time of the batch that filled the reference, UTC; null without one.',
    `log_e_window` Nullable(Float64) COMMENT 'Natural logarithm of the e-value of the last full window of `n_window` losses, any finite number, for `drift-families`; null before one.',
    `n_window` Int64 COMMENT 'Losses in that window, >= 0.',
    `value` Nullable(Float64) COMMENT 'What the statistic is, any finite number in its own unit (nats, bits, that of the metric, a cosine); null of a detector.',
    `band_low` Nullable(Float64) COMMENT 'Least value that is no warning, any finite number like `value`; null when low values are none.',
    `band_high` Nullable(Float64) COMMENT 'Largest value that is no warning, any finite number like `value`; null when high values are none.',
    `false_warning_rate` Nullable(Float64) COMMENT 'Probability of a value outside the band when nothing has changed, [0, 1]; null when nobody knows it.',
    `undefined` Nullable(String) COMMENT 'Why there is no value; null when there is one, and of a detector.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'What a detector, or a statistic that describes, says of a series. Topic `drift`, key `series_id`. A detector of losses has an e-value and a threshold, and may alarm. A statistic of a distribution (latency, tokens, lengths, embeddings) has a value and a band, and never says more than WARNING.';
