-- Which series of an application have drifted together now, one row per series; none when none has. Of these at most the share `fdr` is expected to be
-- false; and of all alarms of its detectors so far, at most `false_alarms_allowed`.
CREATE OR REPLACE VIEW v_drift_families AS
SELECT
    application, family, drifted.metric AS metric, drifted.slice AS slice, drifted.log_e_value AS log_e_value, log_threshold, fdr, n_series, n_observed,
    n_observed / arl_target AS false_alarms_allowed, drifted.series_id AS series_id, event_id, occurred_at
FROM (SELECT * FROM drift_families FINAL ORDER BY _offset DESC LIMIT 1 BY application, family)
ARRAY JOIN rejected AS drifted
COMMENT 'Which series of an application have drifted together, with their false discovery rate controlled: the newest word.';
