-- The losses that the detectors count, a row per item and series. An item that was sent again, in whichever batch, is there once.
CREATE OR REPLACE VIEW v_drift_observations AS
SELECT application, metric, slice, loss, series_id, mark, source, occurred_at
FROM drift_observations FINAL
ARRAY JOIN losses AS loss, marks AS mark
LIMIT 1 BY series_id, mark
COMMENT 'The losses that the detectors count, one row per item and series; occurred_at is the newest of the batch that told it.';
