CREATE TABLE IF NOT EXISTS reviewers
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `reviewer_id` String COMMENT 'Pseudonym of the reviewer.',
    `status` LowCardinality(String) COMMENT 'ONBOARDING, ACTIVE, WATCH or QUARANTINED.',
    `n_labels` Int64 COMMENT 'Labels given so far.',
    `n_gold` Int64 COMMENT 'Gold items answered.',
    `gold_correct` Int64 COMMENT 'Gold items answered right, <= n_gold.',
    `median_seconds` Nullable(Float64) COMMENT 'Median active time per task, seconds; null when not measured.',
    `reliability` Array(Tuple(dimension LowCardinality(String), alpha Float64, beta Float64)) COMMENT 'Posterior per dimension; empty without evidence.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (reviewer_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'How reliable a reviewer is. Compacted topic `reviewers`, key `reviewer_id`.';
