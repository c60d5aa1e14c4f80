CREATE TABLE IF NOT EXISTS job_orders
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `job_id` String COMMENT 'The job.',
    `kind` LowCardinality(String) COMMENT 'CANCEL ends an attempt; RETRY begins another one.',
    `attempt` Int64 COMMENT 'CANCEL: the attempt that is to end. RETRY: the one that is to begin. 1 to 1000.',
    `reason` String COMMENT 'Why, in the words of who ordered it; 1 to 1000 characters.',
    `ordered_by` String COMMENT 'Who ordered it.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'An order about a job. Topic `job-orders`, key `job_id`; the id is a hash of job, kind and attempt, so the same order twice is one. A RETRY is sent before its request is sent once more on `training-requests`: whoever then reads that request, there or in a replay, makes the newest attempt that was ordered, once.';
