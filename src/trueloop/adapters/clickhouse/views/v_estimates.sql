-- How good what is served is now: the newest estimate of each series over its rolling window, with its 95 % interval. Null means no evidence, not zero
-- quality. method says whether the judge was used, fallback why not. Slices are estimated apart: for a chart of many, trueloop.estimates.partial_pooling.
CREATE OR REPLACE VIEW v_estimates AS
SELECT
    application, dimension, slice, rubric_id, rubric_version, value, low, high, std_error, method, fallback, undefined, n_labelled, n_clusters, n_judged,
    hajek, hajek_low, hajek_high, aipw, aipw_low, aipw_high, judge, judge_mean, trust, correlation, correlation_low, correlation_high,
    severity, severity_low, severity_high, slope, slope_low, slope_high, window_start, window_end, occurred_at, series_id, event_id
FROM
(
    SELECT *
    FROM estimates FINAL
    WHERE window_kind = 'ROLLING'
    ORDER BY _offset DESC
    LIMIT 1 BY series_id
)
COMMENT 'How good what is served is now: the newest estimate of each series over its rolling window. Null means no evidence, not zero.';
