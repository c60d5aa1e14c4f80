CREATE TABLE IF NOT EXISTS evaluations
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `candidate` String COMMENT 'Id of the candidate checkpoint.',
    `candidate_uri` String COMMENT 'Where it lies.',
    `candidate_sha256` String COMMENT 'SHA-256 over its manifest.',
    `baseline` LowCardinality(String) COMMENT 'Id of the baseline checkpoint: what served when training was triggered.',
    `job_id` String COMMENT 'The job that trained the candidate.',
    `policy_id` LowCardinality(String) COMMENT 'The policy that fixed evaluators and decoding.',
    `policy_version` Int64 COMMENT 'Version of that policy, >= 1.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric whose dimensions were scored.',
    `rubric_version` Int64 COMMENT 'Version of the rubric, >= 1.',
    `calibration_version` Int64 COMMENT 'Version of the calibration set, >= 0; 0 when there was no item yet.',
    `calibration_hash` String COMMENT 'Content hash of the calibration set.',
    `calibration_new` Int64 COMMENT 'Items that this version of the set brought, >= 0; 0 when the version was not new.',
    `n_items` Int64 COMMENT 'Items of the calibration set.',
    `decoding` String COMMENT 'Decoding parameters, canonical JSON; the same for candidate and baseline.',
    `scores` Array(Tuple(dimension LowCardinality(String), slice LowCardinality(String), evaluator LowCardinality(String), n Int64, binary Bool, sum_candidate Float64, sum_baseline Float64, sum_candidate_squares Float64, sum_baseline_squares Float64, sum_products Float64)) COMMENT 'One entry per dimension and slice that has evidence.',
    `evaluators` Array(Tuple(dimension LowCardinality(String), evaluator LowCardinality(String), version Nullable(String), n_asked Int64, n_missing Int64, human_agreement Nullable(Float64), human_agreement_low Nullable(Float64), human_agreement_high Nullable(Float64), human_agreement_n Int64, human_ac2 Nullable(Float64), human_ac2_low Nullable(Float64), human_ac2_high Nullable(Float64), human_bias Nullable(Float64), human_undefined Nullable(String))) COMMENT 'One entry per dimension and evaluator that the policy names, those without any score too.',
    `diagnostics` Array(Tuple(kind LowCardinality(String), n Int64, candidate Float64, baseline Float64, difference Float64, difference_low Nullable(Float64), difference_high Nullable(Float64))) COMMENT 'How the answers differ beside their scores; they decide nothing.',
    `warnings` Array(LowCardinality(String)) COMMENT 'Signs of reward hacking among the diagnostics; they decide nothing.',
    `trials` Array(Tuple(trial_id String, item_id String, identical Bool)) COMMENT 'What is put before people, in the order in which answers count; empty when the policy asks none.',
    `seconds` Float64 COMMENT 'Wall time of the evaluation, seconds.',
    `error` Nullable(String) COMMENT 'Why there are no scores; null when the evaluation ran.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'Scores of a candidate and its baseline on the held-out calibration set. Topic `evaluations`, key `candidate`.';
