CREATE TABLE IF NOT EXISTS trial_outcomes
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `trial_id` String COMMENT 'The trial.',
    `evaluation_id` String COMMENT 'The evaluation that asked for it.',
    `task_id` String COMMENT 'The review task that was answered.',
    `senior` Bool COMMENT 'Whether it is a senior reviewer\'s answer.',
    `dimension` LowCardinality(String) COMMENT 'The dimension of the rubric that was compared, or \'overall\'.',
    `verdict` LowCardinality(String) COMMENT 'CANDIDATE, BASELINE or TIE; SPLIT while a senior is asked, OPEN while labels are missing.',
    `revision` Int64 COMMENT 'Labels of the task that were read so far, >= 0; an outcome of a lower revision is out of date.',
    `label_ids` Array(String) COMMENT 'Labels that it stands on.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'What people say of a trial now. Restricted topic `trial-outcomes`, key `trial_id`; the newest event of a trial and of each value of `senior` counts. What reviewers decided among themselves stands before what a senior said.';
