-- Whether a series has left its reference: what its detector said last, with the traces that it stands on; and of distributions, what each statistic
-- was of the last full window. `statistic` is above `limit_high`, or below `limit_low`, when it says so: of a detector it is the logarithm of its
-- e-value, and the limit is where it alarms.
CREATE OR REPLACE VIEW v_drift AS
SELECT
    application, metric, slice, detector, state, coalesce(value, log_e_value) AS statistic, band_low AS limit_low, coalesce(band_high, threshold) AS limit_high,
    undefined, log_e_value, threshold, arl_target, value, band_low, band_high, false_warning_rate, n_reference, reference_mean, n_current, current_mean,
    n_observed, reference_number, reference_checkpoints, reference_from, reference_to, log_e_window, n_window, checkpoint, evidence_trace_ids, series_id,
    event_id, occurred_at
FROM drift FINAL
ORDER BY _offset DESC
LIMIT 1 BY application, series_id, detector
COMMENT 'Whether a series has left its reference: the newest word of each detector and statistic.';
