-- What could not be processed: one row per refused record, however many workers refused it and however often.
CREATE OR REPLACE VIEW v_dead_letters AS
SELECT
    topic, partition, offset, argMax(error_class, _offset) AS error_class, argMax(message, _offset) AS message, max(attempt) AS attempt,
    arraySort(groupUniqArray(consumer)) AS consumers, min(first_failed_at) AS first_failed_at, max(_timestamp) AS last_failed_at,
    max(payload_bytes) AS payload_bytes, uniqExact(_topic, _partition, _offset) AS letters
FROM dead_letters
GROUP BY topic, partition, offset, if(offset IS NULL, (_partition, _offset), (-1, -1))
COMMENT 'What could not be processed: one row per refused record. To replay them: trueloop dead-letters.';
