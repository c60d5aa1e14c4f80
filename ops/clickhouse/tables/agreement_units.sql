CREATE TABLE IF NOT EXISTS agreement_units
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `series_id` String COMMENT 'The series: application, dimension, slice, rubric and version.',
    `dimension` LowCardinality(String) COMMENT 'Dimension of the rubric; \'overall\' or \'preference:NAME\' for preferences; \'spans:NAME\' for marked spans.',
    `slice` LowCardinality(String) COMMENT '\'all\' or \'name=value\'.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that was applied.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `kind` LowCardinality(String) COMMENT 'What was judged: RATING, PREFERENCE or SPAN.',
    `task_id` String COMMENT 'The task that the units belong to.',
    `task_at` DateTime64(6, 'UTC') COMMENT 'Event time of the task, UTC: it decides the window that the units count in.',
    `revision` Int64 COMMENT 'Labels applied to the task so far, >= 1; a lower revision never replaces a higher one.',
    `units` Array(Tuple(unit_id String, values Array(Int64), counts Array(Int64), repeats Int64, shown Nullable(Int64), shown_first Nullable(Int64))) COMMENT 'The units; empty when all labels were retracted.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'All that one task contributes to one agreement series. Internal topic `agreement-units`, key `series_id`. It carries the whole contribution and not a difference, so that applying it twice equals applying it once.';
