CREATE TABLE IF NOT EXISTS training_results
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `job_id` String COMMENT 'The job.',
    `status` LowCardinality(String) COMMENT 'STARTED, PROGRESS, SUCCEEDED, FAILED or CANCELLED.',
    `attempt` Int64 COMMENT 'Which attempt at the job, >= 1; later ones were ordered on `job-orders`.',
    `method` LowCardinality(String) COMMENT 'Trainer that ran.',
    `step` Int64 COMMENT 'Optimiser steps done.',
    `total_steps` Int64 COMMENT 'Optimiser steps planned; 0 while unknown.',
    `metrics` Map(LowCardinality(String), Float64) COMMENT 'Metrics by name, such as loss; finite numbers only.',
    `checkpoint` LowCardinality(Nullable(String)) COMMENT 'Id of the new checkpoint; null unless SUCCEEDED.',
    `is_candidate` Bool COMMENT 'Whether the checkpoint is evaluated and gated; a reward model is not.',
    `checkpoint_uri` Nullable(String) COMMENT 'Where it lies; null unless SUCCEEDED.',
    `checkpoint_sha256` Nullable(String) COMMENT 'SHA-256 over its manifest; null unless SUCCEEDED.',
    `base_checkpoint` LowCardinality(String) COMMENT 'Id of the checkpoint that it started from.',
    `dataset` LowCardinality(String) COMMENT 'Name of the dataset.',
    `dataset_version` Int64 COMMENT 'Version of the dataset, >= 1.',
    `seconds` Float64 COMMENT 'Wall time since the job started, seconds.',
    `tokens` Nullable(Int64) COMMENT 'Tokens trained on; null while unknown.',
    `seed` Nullable(Int64) COMMENT 'Random seed; null before the configuration was read.',
    `stopped_by` Nullable(String) COMMENT 'Rule that ended training before its last step, such as \'plateau\'; null for none.',
    `versions` Map(LowCardinality(String), String) COMMENT 'Versions of the packages that matter, by name.',
    `error_class` LowCardinality(Nullable(String)) COMMENT 'Class of the error; null unless FAILED or CANCELLED.',
    `error` Nullable(String) COMMENT 'What went wrong and what to do, without any training text; null unless FAILED or CANCELLED.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Progress and outcome of a job. Topic `training-results`, key `job_id`. SUCCEEDED, FAILED and CANCELLED end an attempt.';
