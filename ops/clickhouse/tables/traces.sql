CREATE TABLE IF NOT EXISTS traces
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `trace_id` String COMMENT 'Id of the request; the same id sent twice is one trace. 1 to 256 characters.',
    `model` LowCardinality(String) COMMENT 'Name of the serving model.',
    `checkpoint` LowCardinality(Nullable(String)) COMMENT 'Id of the serving checkpoint as in `releases`; null when the model is not ours.',
    `slices` Map(LowCardinality(String), String) COMMENT 'Segments that the trace belongs to, such as locale or product: name to value.',
    `error` Nullable(String) COMMENT 'Class of the error that ended the request; null when it succeeded.',
    `latency_ms` Nullable(Float64) COMMENT 'Time to the full answer, milliseconds, >= 0; null when not measured.',
    `prompt_tokens` Nullable(Int64) COMMENT 'Tokens of the prompt, >= 0; null when not counted.',
    `completion_tokens` Nullable(Int64) COMMENT 'Tokens of the completion, >= 0; null when not counted.',
    `scores` Map(LowCardinality(String), Float64) COMMENT 'Model and judge scores by name, each in [0, 1]; a score that was not computed is absent.',
    `consent` LowCardinality(String) COMMENT 'What the subject allowed: NONE, REVIEW (people may read it) or TRAINING (models may learn from it).',
    `subject_id` Nullable(String) COMMENT 'Pseudonym of the user, for erasure and clustering; null when unknown. Never a name or an address.',
    `messages` Array(Tuple(role LowCardinality(String), content String)) COMMENT 'The prompt, oldest turn first; at least one.',
    `completion` String COMMENT 'The answer that was served, UTF-8; empty when the request failed.',
    `alternatives` Array(Tuple(completion String, model LowCardinality(String), checkpoint LowCardinality(Nullable(String)))) COMMENT 'Other completions of the same prompt that were not shown to the user.',
    `embedding` Array(Float32) COMMENT 'Embedding of the prompt: 384 little-endian float32; null when not computed. Stored as an array; null is the empty array.',
    `embedding_model` LowCardinality(Nullable(String)) COMMENT 'Name of the embedding model; null without an embedding.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (application, event_id)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'A production request and its answer, as the serving application saw it. Topic `traces`, key `trace_id`.';
