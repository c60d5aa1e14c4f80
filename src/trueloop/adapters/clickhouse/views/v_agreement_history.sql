-- How agreement went over time: the newest estimate of each series and window. For charts; late labels change past windows.
CREATE OR REPLACE VIEW v_agreement_history AS
SELECT
    application, dimension, slice, rubric_id, rubric_version, window_start, window_end, n_units, n_labels,
    p_o, alpha_nominal, alpha_ordinal, ac1, ci_low, ci_high, undefined, series_id, event_id, occurred_at
FROM agreement FINAL
ORDER BY _offset DESC
LIMIT 1 BY application, series_id, window_end
COMMENT 'How agreement went over time: the newest estimate of each series and window.';
