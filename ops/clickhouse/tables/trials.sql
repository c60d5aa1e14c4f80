CREATE TABLE IF NOT EXISTS trials
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `trial_id` String COMMENT 'Hash of evaluation and item. The order of these hashes is the order in which answers count.',
    `evaluation_id` String COMMENT 'The evaluation that asks for it.',
    `item_id` String COMMENT 'The item of the calibration set.',
    `policy_id` LowCardinality(String) COMMENT 'The policy that wants people asked.',
    `policy_version` Int64 COMMENT 'Version of that policy, >= 1.',
    `prompt_hash` String COMMENT 'Identity of the prompt.',
    `slices` Map(LowCardinality(String), String) COMMENT 'Segments of the item: name to value.',
    `messages` Array(Tuple(role LowCardinality(String), content String)) COMMENT 'The prompt, oldest turn first.',
    `candidate_answer` String COMMENT 'What the candidate answered, UTF-8.',
    `baseline_answer` String COMMENT 'What the baseline answered, UTF-8.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Two answers to a held-out prompt that people are to compare. Restricted topic `trials`, key `trial_id`: it says which answer is whose, so it is no topic for reviewers, who get a blind task made of it.';
