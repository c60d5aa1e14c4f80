CREATE TABLE IF NOT EXISTS preference_pairs
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `pair_id` String COMMENT 'Id of the pair: a hash of task, source and the two candidates.',
    `prompt_hash` String COMMENT 'Identity of the prompt.',
    `split` LowCardinality(String) COMMENT 'TRAIN or CALIBRATION; a calibration pair is never trained on.',
    `trainable` Bool COMMENT 'Whether consent allows training on it.',
    `revises` Nullable(String) COMMENT 'Event id of the live event of this pair that it replaces; null when the pair is new, or holds again.',
    `replaced_weight` Float64 COMMENT 'Weight of the event that it replaces, >= 0; 0 for none: `weight` less this is what the event adds to the effective pairs.',
    `withdrawn` Bool COMMENT 'True when later labels took the pair back; it then counts for nothing.',
    `margin` Float64 COMMENT 'Net wins over dimensions divided by their number, or the share of votes won minus lost; [0, 1]; 1 for rewrites; for one edit of a span its share of the severity of all edits of the answer.',
    `p_correct` Nullable(Float64) COMMENT 'Posterior probability that the chosen one is truly better, [0, 1]; a tie counts against it. Null for rewrites and edits: nobody compared.',
    `weight` Float64 COMMENT 'Weight in training, >= 0; 1 is a full pair: the mean weight of the reviewers who spoke of it. 0 when it was withdrawn.',
    `source` LowCardinality(String) COMMENT 'PAIRWISE, RATINGS, REWRITE, SPAN or APPEAL.',
    `outcomes` Array(Tuple(dimension LowCardinality(String), outcome Int64, chosen_mean Nullable(Float64), rejected_mean Nullable(Float64))) COMMENT 'Comparison per dimension.',
    `task_id` String COMMENT 'The task it comes from.',
    `trace_id` String COMMENT 'The trace it comes from.',
    `label_ids` Array(String) COMMENT 'Event ids of the labels it stands on.',
    `reviewers` Array(String) COMMENT 'Pseudonyms of who gave these labels, each once, in order.',
    `appellant` Nullable(String) COMMENT 'Hash of the subject whose appeal led to the task; null when none did, and when the appeal names no subject.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that was applied.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `rubric_hash` LowCardinality(String) COMMENT 'Content hash of the rubric.',
    `policy_version` Int64 COMMENT 'Version of the policy, >= 1.',
    `slices` Map(LowCardinality(String), String) COMMENT 'Segments of the trace: name to value.',
    `messages` Array(Tuple(role LowCardinality(String), content String)) COMMENT 'The prompt, oldest turn first.',
    `chosen` String COMMENT 'The better completion, UTF-8.',
    `rejected` String COMMENT 'The worse completion, UTF-8.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'A chosen and a rejected completion of one prompt. Topic `preference-pairs`, key `pair_id`; the newest event of a pair counts.';
