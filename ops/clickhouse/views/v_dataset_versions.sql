-- Which datasets were frozen: every version with its size, its parent and the agreement behind it.
CREATE OR REPLACE VIEW v_dataset_versions AS
SELECT * EXCEPT (_topic, _partition, _offset, _timestamp)
FROM dataset_versions FINAL
COMMENT 'Which datasets were frozen: every version with its size, its parent and the agreement behind it.';
