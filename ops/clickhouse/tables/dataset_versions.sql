CREATE TABLE IF NOT EXISTS dataset_versions
(
    `event_id` String COMMENT 'Unique id of this event; a hash of its inputs when the event is derived. 1 to 256 characters.',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it happened, by the producer\'s clock, UTC, microseconds since the epoch.',
    `application` LowCardinality(String) COMMENT 'The application (product or service) it belongs to; selects policy and rubric. 1 to 256 characters.',
    `name` LowCardinality(String) COMMENT 'Name of the dataset, such as \'billing-support/pairs\'.',
    `version` Int64 COMMENT 'Version, >= 1, ascending without gaps.',
    `kind` LowCardinality(String) COMMENT 'PAIRS or CALIBRATION.',
    `content_hash` LowCardinality(String) COMMENT 'Hash over the ids and revisions of its items, in order.',
    `parent` Nullable(Int64) COMMENT 'Version it grew from, >= 1; null for the first.',
    `topic` LowCardinality(String) COMMENT 'The topic that it is a range of.',
    `partition` Int64 COMMENT 'Partition of that topic, >= 0.',
    `end_offset` Int64 COMMENT 'Offset after the last record of the range; the range starts at offset 0.',
    `excluded` Array(Tuple(start_offset Int64, end_offset Int64)) COMMENT 'Offset ranges that were rolled back, oldest first: their records count for nothing, here and in what follows.',
    `n_items` Int64 COMMENT 'Items in it.',
    `n_new` Int64 COMMENT 'Items that its parent lacks.',
    `sources` Map(LowCardinality(String), Int64) COMMENT 'Items by source of evidence: name of the source to number of items.',
    `rubric_id` LowCardinality(String) COMMENT 'The rubric that its labels follow.',
    `rubric_version` Int64 COMMENT 'Version of the rubric; labels of other versions are left out.',
    `policy_version` Int64 COMMENT 'Version of the policy that froze it, >= 1.',
    `agreement` Array(Tuple(dimension LowCardinality(String), alpha Nullable(Float64), n_units Int64)) COMMENT 'Agreement at the freeze, per dimension; empty when nothing was estimated yet.',
    `drift_signal_ids` Array(String) COMMENT 'Event ids of the drift alarms that stood at the freeze and had no dataset yet.',
    `frozen_by` LowCardinality(String) COMMENT 'NEW_PAIRS, DRIFT, EVALUATION, PERSON or ROLLBACK.',
    `restores` Nullable(Int64) COMMENT 'Version, >= 1, whose content it has, because a person went back to it; null for others.',
    `order_id` Nullable(String) COMMENT 'Event id of the order in `dataset-orders` that it obeys; null without one.',
    `ordered_by` Nullable(String) COMMENT 'Who gave the order; null without one.',
    `changelog` String COMMENT 'One line: what changed since the parent.',
    `_topic` LowCardinality(String) COMMENT 'Topic that the record was read from, as the registry names it.',
    `_partition` Int32 COMMENT 'Its partition.',
    `_offset` Int64 COMMENT 'Its offset. The sink continues after the largest one.',
    `_timestamp` DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record: when it was produced.'
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (name, version)
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = 134217728
COMMENT 'A frozen dataset: a range of one topic, so that it can be rebuilt from the log. Compacted topic `dataset-versions`, key `name@version`.';
