CREATE TABLE IF NOT EXISTS _schema
(
    hash String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY tuple()
COMMENT 'Hash of the tables and views that were created last.';
