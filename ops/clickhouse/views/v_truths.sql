-- What is probably true of each task now, one row per candidate and dimension, or per preference; value is the likeliest category. adjudicate marks
-- tasks that have their labels and still no likely truth: a person of more authority should decide. decided is the value that one gave, decided_by are
-- who did. probability is null when nobody counts who spoke.
CREATE OR REPLACE VIEW v_truths AS
SELECT
    application, task_id, rubric_id, rubric_version, unit.dimension AS dimension, unit.candidate_id AS candidate_id,
    if(empty(unit.probabilities), NULL, unit.categories[indexOf(unit.probabilities, arrayMax(unit.probabilities))]) AS value,
    if(empty(unit.probabilities), NULL, arrayMax(unit.probabilities)) AS probability, unit.mean AS mean_rating, unit.n_labels AS n_labels,
    unit.categories AS categories, unit.probabilities AS probabilities, unit.decided AS decided, adjudicate,
    arrayMap(voice -> voice.reviewer_id, arrayFilter(voice -> voice.weight > 0, adjudicators)) AS decided_by, length(labels) AS task_labels, occurred_at, event_id
FROM
(
    SELECT *
    FROM truths FINAL
    ORDER BY _offset DESC
    LIMIT 1 BY application, task_id
)
ARRAY JOIN units AS unit
COMMENT 'What is probably true of each task now, per candidate and dimension or per preference; null when nobody counts who spoke of it.';
