-- How reliable each reviewer is now, and what follows. gold_accuracy with its 95 % bounds is null without gold items: no evidence is not zero.
CREATE OR REPLACE VIEW v_reviewers AS
SELECT
    application, reviewer_id, status, reasons, weight, routes, n_labels, n_gold, gold_correct,
    if(n_gold = 0, NULL, gold_correct / n_gold) AS gold_accuracy, gold_low, gold_high, onboarding_left,
    arrayMap(r -> (r.dimension, r.alpha / (r.alpha + r.beta), r.ci_low, r.ci_high, r.em_accuracy), reliability) AS reliability_by_dimension,
    median_seconds, fast_share, first_share, n_preferences, drift_log_e, same_errors, rubric_id, rubric_version, occurred_at, event_id
FROM reviewers FINAL
COMMENT 'How reliable each reviewer is now, and what follows; gold_accuracy is null without gold items.';
