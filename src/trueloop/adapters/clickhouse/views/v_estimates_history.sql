-- How good what was served was, pane by pane: the newest estimate of each stretch of time, corrected when labels came late, changed or were retracted.
CREATE OR REPLACE VIEW v_estimates_history AS
SELECT
    application, dimension, slice, rubric_id, rubric_version, window_start, window_end, value, low, high, std_error, method, fallback, undefined,
    n_labelled, n_clusters, n_judged, hajek, hajek_low, hajek_high, judge, judge_mean, trust, correlation, occurred_at, series_id, event_id
FROM
(
    SELECT *
    FROM estimates FINAL
    WHERE window_kind = 'PANE'
    ORDER BY _offset DESC
    LIMIT 1 BY series_id, window_start
)
COMMENT 'How good what was served was, pane by pane; corrected when labels came late, changed or were retracted.';
