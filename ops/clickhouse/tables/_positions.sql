CREATE TABLE IF NOT EXISTS _positions
(
    _topic LowCardinality(String),
    _partition Int32,
    _offset Int64
)
ENGINE = ReplacingMergeTree(_offset)
ORDER BY (_topic, _partition)
COMMENT 'Offsets of the newest records that became no row: refused ones and deletions. With the tables it tells where the sink continues.';
