-- What agreement is computed from: one row per unit, with the ratings that stand now. Characters of one candidate that were marked alike are
-- one row with `repeats`. With slice = 'all' every unit stands here once; join `review_queue` on task_id for whatever else is known of it.
CREATE OR REPLACE VIEW v_agreement_units AS
SELECT
    application, dimension, slice, rubric_id, rubric_version, kind, task_id, task_at, unit.unit_id AS unit_id, unit.values AS given, unit.counts AS raters,
    arraySum(unit.counts) AS n_raters, unit.repeats AS repeats, unit.shown AS shown, unit.shown_first AS shown_first, revision, series_id
FROM
(
    SELECT * FROM agreement_units FINAL
    ORDER BY revision DESC, _offset DESC
    LIMIT 1 BY application, series_id, task_id
)
ARRAY JOIN units AS unit
COMMENT 'What agreement is computed from: one row per unit, with the ratings that stand now.';
