-- How the statistic of each series went: every word of its detector, sent when the state or the reference changed and now and then between.
CREATE OR REPLACE VIEW v_drift_history AS
SELECT
    application, metric, slice, detector, state, log_e_value, threshold, arl_target, n_reference, reference_mean, n_current, current_mean,
    checkpoint, evidence_trace_ids, series_id, event_id, occurred_at
FROM drift FINAL
COMMENT 'How the statistic of each series went: every word of its detector.';
