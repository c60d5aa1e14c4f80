CREATE TABLE IF NOT EXISTS review_queue
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `task_id` String COMMENT 'Id of the task: a hash of trace and policy, so that a trace is queued once per policy.',
    `trace_id` String COMMENT 'The trace that is reviewed; of a trial, whose answers were never served, its own task id.',
    `form` LowCardinality(String) COMMENT 'What is asked: RATING, PAIRWISE, SPAN, REWRITE or CRITIQUE.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric to judge by.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `rubric_hash` LowCardinality(String) COMMENT 'Content hash of the rubric.',
    `policy_id` LowCardinality(String) COMMENT 'The policy that sampled the trace.',
    `policy_version` Int64 COMMENT 'Version of the policy, >= 1.',
    `policy_hash` LowCardinality(String) COMMENT 'Content hash of the policy.',
    `sampling_prob` Float64 COMMENT 'Probability with which this trace was to be included, (0, 1]; estimates weight by its inverse.',
    `stratum` LowCardinality(String) COMMENT 'The stratum that the probability belongs to, such as \'all\', \'locale=de\', \'anomaly:SLOW\' or \'alarm:locale=de\'.',
    `reasons` Array(LowCardinality(String)) COMMENT 'Why the trace was chosen: UNIFORM, UNCERTAINTY, ANOMALY, APPEAL, ALARM or ADJUDICATION; TRIAL of what is no trace.',
    `slices` Map(LowCardinality(String), String) COMMENT 'Segments of the trace: name to value.',
    `prompt_hash` String COMMENT 'Identity of the prompt.',
    `split` LowCardinality(String) COMMENT 'TRAIN or CALIBRATION, by the hash of the prompt or of its cluster (policy: `sampling.split_by`).',
    `trainable` Bool COMMENT 'Whether the subject\'s consent allows training on this trace.',
    `labels_needed` Int64 COMMENT 'Independent labels wanted, 1 to 100.',
    `pool` LowCardinality(String) COMMENT 'The group of reviewers that may take it.',
    `due_at` DateTime64(6, 'UTC') COMMENT 'When the labels are due, UTC.',
    `appellant` Nullable(String) COMMENT 'Hash of the subject who objects, sealed with the deployment\'s blinding key: it is another word on each task, so it shows no reviewer which tasks are of one user. Null for a task that is no appeal, and for an appeal without a subject.',
    `adjudicates` Nullable(String) COMMENT 'The task whose truth this one is to settle, with the same candidates under the same ids; null for a task of its own.',
    `trial` Tuple(trial_id Nullable(String), evaluation_id Nullable(String), senior Nullable(Bool)) COMMENT 'The trial that it is part of; null for a task that is none. Stored as a tuple; null is a tuple of nulls.',
    `messages` Array(Tuple(role LowCardinality(String), content String)) COMMENT 'The prompt, oldest turn first.',
    `candidates` Array(Tuple(candidate_id String, completion String)) COMMENT 'Completions in display order, which is random per task; 1 to 26.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Work for a reviewer. Topic `review-queue`, key `task_id`. Says nothing that unblinds.';
