-- How agreement went over time: the newest estimate of each pane of each series. For charts; late, edited and retracted labels correct their
-- pane. Panes do not overlap. Their alpha has no interval: for one, over one pane or many, see v_agreement_alpha.
CREATE OR REPLACE VIEW v_agreement_history AS
SELECT
    application, dimension, slice, rubric_id, rubric_version, kind, level, window_start, window_end, n_units, n_labels, n_tasks,
    p_o, p_o_low, p_o_high, alpha, undefined, alpha_nominal, alpha_ordinal, alpha_interval, alpha_ratio,
    ac1, ac1_low, ac1_high, ac1_undefined, ac2, ac2_low, ac2_high, fleiss_kappa, fleiss_kappa_low, fleiss_kappa_high,
    span_f1, span_f1_low, span_f1_high, n_preferences, shown_first, shown_first_low, shown_first_high, shown_first_expected, position_p,
    series_id, event_id, occurred_at
FROM agreement FINAL
WHERE window_kind = 'PANE'
ORDER BY _offset DESC
LIMIT 1 BY application, series_id, window_start, window_end
COMMENT 'How agreement went over time: the newest estimate of each pane of each series. Panes do not overlap.';
