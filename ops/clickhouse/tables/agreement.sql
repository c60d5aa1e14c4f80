CREATE TABLE IF NOT EXISTS agreement
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `series_id` String COMMENT 'The series: application, dimension, slice, rubric and version.',
    `dimension` LowCardinality(String) COMMENT 'Dimension of the rubric, or \'overall\' for an overall preference.',
    `slice` LowCardinality(String) COMMENT '\'all\' or \'name=value\'.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that was applied.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `window_start` DateTime64(6, 'UTC') COMMENT 'Start of the window, inclusive, UTC.',
    `window_end` DateTime64(6, 'UTC') COMMENT 'End of the window, exclusive, UTC.',
    `n_units` Int64 COMMENT 'Units with two labels or more: those that can agree.',
    `n_labels` Int64 COMMENT 'Labels on those units.',
    `p_o` Nullable(Float64) COMMENT 'Observed agreement: mean share of agreeing pairs per unit, [0, 1]; null without evidence.',
    `alpha_nominal` Nullable(Float64) COMMENT 'Krippendorff\'s alpha, nominal, [-1, 1]; null when undefined.',
    `alpha_ordinal` Nullable(Float64) COMMENT 'Krippendorff\'s alpha, ordinal, [-1, 1]; null when undefined.',
    `ac1` Nullable(Float64) COMMENT 'Gwet\'s AC1, [-1, 1]; null when not estimated.',
    `ci_low` Nullable(Float64) COMMENT 'Lower 95 % bound of the ordinal alpha, [-1, 1]; null when not estimated.',
    `ci_high` Nullable(Float64) COMMENT 'Upper 95 % bound of the ordinal alpha, [-1, 1]; null when not estimated.',
    `undefined` LowCardinality(Nullable(String)) COMMENT 'Why alpha is null: NO_PAIRABLE_UNITS or NO_VARIATION; null when it is defined.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Agreement on one dimension and slice in one window. Topic `agreement`, key `series_id`. No evidence is null, never 0.';
