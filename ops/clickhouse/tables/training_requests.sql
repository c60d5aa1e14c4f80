CREATE TABLE IF NOT EXISTS training_requests
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `job_id` String COMMENT 'Hash of method, base checkpoint, dataset version and configuration.',
    `method` LowCardinality(String) COMMENT 'Trainer to use, such as \'sft\' or \'dpo\'; the trainers that are installed decide what is known.',
    `base_checkpoint` LowCardinality(String) COMMENT 'Id of the checkpoint to start from.',
    `base_uri` String COMMENT 'Where that checkpoint lies.',
    `baseline_checkpoint` LowCardinality(String) COMMENT 'Id of the checkpoint that serves; the candidate is compared with it.',
    `baseline_uri` String COMMENT 'Where the serving checkpoint lies.',
    `dataset` LowCardinality(String) COMMENT 'Name of the dataset.',
    `dataset_version` Int64 COMMENT 'Version of the dataset, >= 1.',
    `dataset_hash` String COMMENT 'Content hash of the dataset.',
    `dataset_end_offset` Int64 COMMENT 'Offset after the last record of the dataset in `preference-pairs`.',
    `dataset_excluded` Array(Tuple(start_offset Int64, end_offset Int64)) COMMENT 'Offset ranges of `preference-pairs` that were rolled back: their records are no part of the dataset.',
    `config` String COMMENT 'Trainer configuration, canonical JSON; the trainer checks it.',
    `reason` LowCardinality(String) COMMENT 'NEW_PAIRS, DRIFT, CADENCE or MANUAL.',
    `drift_signal_id` Nullable(String) COMMENT 'Event id of the alarm in `drift` that triggered; null for another reason.',
    `timeout_seconds` Nullable(Float64) COMMENT 'Wall time after which training and evaluation are given up, seconds, > 0; null for never.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that the labels follow.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `policy_id` LowCardinality(String) COMMENT 'The policy that triggered.',
    `policy_version` Int64 COMMENT 'Version of that policy, >= 1.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'An order to train. Topic `training-requests`, key `job_id`; the id is a hash of the order, so a replay starts no second job.';
