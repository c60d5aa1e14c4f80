-- How reliable each reviewer is now on each dimension, one row each: posterior mean with 95 % bounds, gold items, and Dawid and Skene's model.
CREATE OR REPLACE VIEW v_reviewer_dimensions AS
SELECT
    application, reviewer_id, status, rubric_id, rubric_version, r.dimension AS dimension,
    r.alpha / (r.alpha + r.beta) AS posterior_mean, r.ci_low AS ci_low, r.ci_high AS ci_high, r.n_judgements AS n_judgements,
    r.n_gold AS n_gold, if(r.n_gold = 0, NULL, r.gold_correct / r.n_gold) AS gold_accuracy, r.em_accuracy AS em_accuracy, r.em_labels AS em_labels
FROM reviewers FINAL
ARRAY JOIN reliability AS r
COMMENT 'How reliable each reviewer is now on each dimension, with 95 % bounds.';
