-- What each evaluation's evaluators are worth: one row per evaluation, dimension and evaluator, the newest evaluation of a candidate first.
-- Agreement with people is a judge's alone; the scores that they gave are in v_gates, beside what was decided on them.
CREATE OR REPLACE VIEW v_evaluators AS
SELECT
    application, candidate, baseline, e.dimension AS dimension, e.evaluator AS evaluator, e.version AS evaluator_version, e.n_asked AS n_asked,
    e.n_missing AS n_missing, e.human_agreement AS human_agreement, e.human_agreement_low AS human_agreement_low,
    e.human_agreement_high AS human_agreement_high, e.human_agreement_n AS human_agreement_n, e.human_ac2 AS human_ac2,
    e.human_bias AS human_bias, e.human_undefined AS human_undefined, calibration_version, policy_id, policy_version, rubric_id, rubric_version,
    event_id AS evaluation_id, occurred_at
FROM evaluations FINAL
ARRAY JOIN evaluators AS e
ORDER BY occurred_at DESC, dimension, evaluator
COMMENT 'What the evaluators of each evaluation are worth: what they left unanswered, and how far judges agree with people.';
