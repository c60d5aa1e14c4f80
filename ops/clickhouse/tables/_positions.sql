CREATE TABLE IF NOT EXISTS _positions
(
    _topic LowCardinality(String),
    _partition Int32,
    _offset Int64
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (_topic, _partition)
COMMENT 'How far partitions are dealt with, also where the newest records became no row. With the tables it tells where the sink continues.';
