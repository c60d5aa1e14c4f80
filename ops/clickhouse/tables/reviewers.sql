CREATE TABLE IF NOT EXISTS reviewers
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `reviewer_id` String COMMENT 'Pseudonym of the reviewer.',
    `status` LowCardinality(String) COMMENT 'ONBOARDING, ACTIVE, WATCH or QUARANTINED.',
    `reasons` Array(LowCardinality(String)) COMMENT 'Why the status is not ACTIVE, or should be looked at; empty for none.',
    `weight` Float64 COMMENT 'What the reviewer\'s votes count, [0, 1]; 0 in onboarding and quarantine.',
    `routes` Array(String) COMMENT 'Dimensions that the reviewer should be asked about first.',
    `rubric_id` LowCardinality(Nullable(String)) COMMENT 'The rubric of the newest label, which `reliability` is told of; null without labels.',
    `rubric_version` Nullable(Int64) COMMENT 'Version of that rubric, >= 1; null without labels.',
    `n_labels` Int64 COMMENT 'Labels that count: not retracted, superseded or refused, and not older than the policy keeps.',
    `n_gold` Int64 COMMENT 'Gold items answered.',
    `gold_correct` Float64 COMMENT 'Sum over gold items of the share answered right, [0, n_gold].',
    `gold_low` Nullable(Float64) COMMENT 'Lower 95 % credible bound of the accuracy on gold items, [0, 1]; null without any.',
    `gold_high` Nullable(Float64) COMMENT 'Upper 95 % credible bound of the accuracy on gold items, [0, 1]; null without any.',
    `onboarding_left` Nullable(Int64) COMMENT 'Onboarding items still to be answered; null when the policy has no onboarding.',
    `median_seconds` Nullable(Float64) COMMENT 'Median active time per task, seconds; null when not measured.',
    `fast_share` Nullable(Float64) COMMENT 'Share of tasks that were answered too fast, [0, 1]; null when not measured.',
    `first_share` Nullable(Float64) COMMENT 'Share of preferences, ties left out, for what was shown first, [0, 1]; null without preferences.',
    `n_preferences` Int64 COMMENT 'Preferences that are no tie, one per label, >= 0.',
    `drift_log_e` Nullable(Float64) COMMENT 'Natural logarithm of the e-statistic of the reviewer\'s drift, any finite number; null before the reference is full.',
    `same_errors` Array(String) COMMENT 'Reviewers who make the same errors, beyond chance, as of the last fit.',
    `reliability` Array(Tuple(dimension LowCardinality(String), alpha Float64, beta Float64, ci_low Nullable(Float64), ci_high Nullable(Float64), n_judgements Int64, n_gold Int64, gold_correct Float64, em_accuracy Nullable(Float64), em_labels Int64)) COMMENT 'Reliability per dimension; empty without evidence.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, reviewer_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'How reliable a reviewer is. Compacted topic `reviewers`, key application and reviewer; the newest event of a reviewer counts.';
