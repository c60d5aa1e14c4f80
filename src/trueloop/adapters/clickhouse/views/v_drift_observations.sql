-- The losses that the detectors count, a row per item and series. An item that was sent again, in whichever batch, is there once.
CREATE OR REPLACE VIEW v_drift_observations AS
SELECT
    application, metric, slice, reinterpretAsFloat64(substring(losses, 8 * place + 1, 8)) AS loss, series_id,
    reinterpretAsInt64(substring(marks, 8 * place + 1, 8)) AS mark, source, occurred_at
FROM drift_observations FINAL
ARRAY JOIN range(intDiv(length(losses), 8)) AS place
LIMIT 1 BY series_id, mark
COMMENT 'The losses that the detectors count, one row per item and series; occurred_at is the newest of the batch that told it.';
