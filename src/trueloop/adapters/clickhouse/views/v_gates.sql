-- Why a candidate may or may not be released: the newest decision per candidate, one row per dimension, slice and evaluator.
-- A decision without any dimension (its evaluation failed) is one row whose dimension is empty.
CREATE OR REPLACE VIEW v_gates AS
SELECT
    application, candidate, baseline, decision, decision_reasons, decision_labels_needed,
    d.dimension AS dimension, d.slice AS slice, d.evaluator AS evaluator, if(empty(dimensions), decision, d.verdict) AS verdict, d.reasons AS reasons, d.n AS n,
    d.candidate AS candidate_mean, d.candidate_low AS candidate_low, d.candidate_high AS candidate_high, d.baseline AS baseline_mean,
    d.difference AS difference, d.difference_low AS difference_low, d.difference_high AS difference_high,
    d.ties AS ties, d.answers_missing AS answers_missing,
    d.floor AS floor, d.max_regression AS max_regression, d.superior AS superior, d.safety AS safety, d.confidence AS confidence,
    d.pass_p AS pass_p, d.block_p AS block_p, d.labels_needed AS labels_needed, look_family, look, candidate_look, alpha,
    job_id, evaluation_id, policy_id, policy_version, rubric_id, rubric_version, event_id, occurred_at
FROM
(
    SELECT *, verdict AS decision, reasons AS decision_reasons, labels_needed AS decision_labels_needed
    FROM gates FINAL
    ORDER BY _offset DESC
    LIMIT 1 BY application, candidate
)
LEFT ARRAY JOIN dimensions AS d
COMMENT 'Why a candidate may or may not be released: its newest decision, one row per dimension, slice and evaluator.';
