CREATE TABLE IF NOT EXISTS dataset_orders
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `dataset` LowCardinality(String) COMMENT 'Name of the dataset, such as \'billing-support/pairs\'.',
    `kind` LowCardinality(String) COMMENT 'FREEZE makes a version of what is there; ROLLBACK one with the content of an earlier version.',
    `reason` String COMMENT 'Why, in the words of who ordered it; 1 to 1000 characters.',
    `ordered_by` String COMMENT 'Who ordered it.',
    `place` Nullable(Int64) COMMENT 'ROLLBACK: offset after the last record of the application in `preference-pairs` that its author saw; null for FREEZE.',
    `restores` Nullable(Int64) COMMENT 'ROLLBACK: the version to go back to, >= 1; null for FREEZE.',
    `content_hash` LowCardinality(Nullable(String)) COMMENT 'Content hash of that version; null for FREEZE.',
    `end_offset` Nullable(Int64) COMMENT 'Offset after the last record of that version; null for FREEZE.',
    `excluded` Array(Tuple(start_offset Int64, end_offset Int64)) COMMENT 'Offset ranges that are rolled back in that version itself.',
    `n_items` Nullable(Int64) COMMENT 'Items in that version; null for FREEZE.',
    `sources` Map(LowCardinality(String), Int64) COMMENT 'Its items by source of evidence: name of the source to number of items.',
    `rubric_id` LowCardinality(Nullable(String)) COMMENT 'Its rubric; null for FREEZE.',
    `rubric_version` Nullable(Int64) COMMENT 'Version of that rubric, >= 1; null for FREEZE.',
    `left_out` Array(Tuple(pair_id String, weight Nullable(Float64))) COMMENT 'The pairs that records between `end_offset` and `place` speak of.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'An order about a dataset of pairs, which the trigger obeys. Topic `dataset-orders`, key `dataset`. Only the trigger numbers versions, so that nobody needs a lock. A ROLLBACK says what the trigger cannot know of an earlier version; it holds for the log as its author saw it, and the trigger refuses it when pairs have come since.';
