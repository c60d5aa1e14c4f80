-- How far reviewers agree now: the newest estimate of each series over its rolling window. Null means no evidence, not zero agreement.
-- `alpha` is at the series' own level of measurement. A coefficient that lacks one or both bounds says why in `undefined` or `ac1_undefined`.
CREATE OR REPLACE VIEW v_agreement AS
SELECT
    application, dimension, slice, rubric_id, rubric_version, kind, level, window_start, window_end, n_units, n_labels, n_tasks,
    p_o, p_o_low, p_o_high, alpha, alpha_low, alpha_high, undefined, alpha_nominal, alpha_ordinal, alpha_interval, alpha_ratio,
    ac1, ac1_low, ac1_high, ac1_undefined, ac2, ac2_low, ac2_high, fleiss_kappa, fleiss_kappa_low, fleiss_kappa_high,
    span_f1, span_f1_low, span_f1_high, n_preferences, shown_first, shown_first_low, shown_first_high, shown_first_expected, position_p,
    series_id, event_id, occurred_at
FROM agreement FINAL
WHERE window_kind = 'ROLLING'
ORDER BY _offset DESC
LIMIT 1 BY application, series_id
COMMENT 'How far reviewers agree now: the newest estimate of each series over its rolling window. Null means no evidence, not zero.';
