CREATE TABLE IF NOT EXISTS appeals
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `trace_id` String COMMENT 'The trace that is appealed against.',
    `subject_id` Nullable(String) COMMENT 'Pseudonym of the user; null when unknown.',
    `dimension` LowCardinality(Nullable(String)) COMMENT 'Dimension of the rubric that it concerns; null when not said.',
    `text` String COMMENT 'What the user says, UTF-8; hostile text.',
    `consent` LowCardinality(String) COMMENT 'What the subject allowed for the trace: without REVIEW or TRAINING nobody reads it, and the appeal is only counted.',
    `slices` Map(LowCardinality(String), String) COMMENT 'Segments of the trace: name to value.',
    `messages` Array(Tuple(role LowCardinality(String), content String)) COMMENT 'The prompt of the trace, oldest turn first; empty when the service has it no more.',
    `completion` Nullable(String) COMMENT 'The answer that is objected to, UTF-8; null when the service has it no more.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'A user\'s objection. Topic `appeals`, key `trace_id`. Opens a blind re-review; it is never a label by itself.';
