-- The sufficient statistics of agreement, per series and pane. They add over panes and over applications: sum the cells of each list, then
-- compute. v_agreement_period does that. Where `statistics_kept` is false a scale has too many values: take v_agreement_alpha.
--
--   SELECT dimension, c.low AS low, c.high AS high, sum(c.pairs) AS pairs_of_raters
--   FROM v_agreement_statistics ARRAY JOIN coincidences AS c
--   WHERE slice = 'all' AND window_start >= '2026-11-01' GROUP BY dimension, low, high ORDER BY pairs_of_raters DESC
CREATE OR REPLACE VIEW v_agreement_statistics AS
SELECT
    application, dimension, slice, rubric_id, rubric_version, kind, level, window_start, window_end, n_units, n_labels, n_tasks,
    categories, statistics_kept, sizes, ratings, coincidences, moments, series_id, event_id, occurred_at
FROM agreement FINAL
WHERE window_kind = 'PANE'
ORDER BY _offset DESC
LIMIT 1 BY application, series_id, window_start, window_end
COMMENT 'The sufficient statistics of agreement, per series and pane. They add over panes: v_agreement_period computes from them.';
