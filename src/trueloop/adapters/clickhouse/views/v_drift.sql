-- Whether a series has left its reference: what its detector said last, with the traces that it stands on.
CREATE OR REPLACE VIEW v_drift AS
SELECT
    application, metric, slice, detector, state, log_e_value, threshold, arl_target, n_reference, reference_mean, n_current, current_mean,
    checkpoint, evidence_trace_ids, series_id, event_id, occurred_at
FROM drift FINAL
ORDER BY _offset DESC
LIMIT 1 BY application, series_id
COMMENT 'Whether a series has left its reference: the newest word of each detector.';
