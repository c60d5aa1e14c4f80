-- How reviewers did on the tasks whose answer is known: one row per task and reviewer, by the reviewer's first label, because whoever sees a
-- task again may remember it. `correct` is the share of the known ratings and preferences that the label has right, by the newest known answer.
CREATE OR REPLACE VIEW v_gold_answers AS
WITH
    known AS
    (
        SELECT
            application, task_id,
            argMax((ratings, preferences, tolerance, onboarding, withdrawn), (occurred_at, event_id)) AS answer
        FROM gold FINAL
        GROUP BY ALL
    ),
    first AS
    (
        SELECT
            application, task_id, reviewer_id,
            argMin((event_id, occurred_at, ratings, preferences), (occurred_at, event_id)) AS label
        FROM labels FINAL
        WHERE retracts IS NULL
            AND (_partition, _offset) NOT IN (SELECT ifNull(partition, -1), ifNull(offset, -1) FROM dead_letters WHERE topic = 'labels')
        GROUP BY ALL
    ),
    compared AS
    (
        SELECT
            application, task_id, reviewer_id, label.1 AS label_id, label.2 AS answered_at, answer.4 AS onboarding,
            arrayMap(r -> arrayFilter(k -> (k.1, k.2) = (r.1, r.2), answer.1), label.3) AS rated,
            arrayMap(p -> arrayFilter(k -> ifNull(k.1, 'overall') = ifNull(p.1, 'overall'), answer.2), label.4) AS preferred,
            arraySum((r, k) -> toUInt64(notEmpty(k) AND abs(k[1].3 - r.3) <= answer.3), label.3, rated)
                + arraySum((p, k) -> toUInt64(notEmpty(k) AND ifNull(k[1].2, '') = ifNull(p.2, '')), label.4, preferred) AS n_right,
            arrayCount(k -> notEmpty(k), rated) + arrayCount(k -> notEmpty(k), preferred) AS n_known
        FROM first
        INNER JOIN known USING (application, task_id)
        WHERE NOT answer.5
    )
SELECT application, task_id, reviewer_id, label_id, answered_at, onboarding, n_known, n_right / n_known AS correct
FROM compared
WHERE n_known > 0
COMMENT 'How reviewers did on the tasks whose answer is known: the first label of each reviewer on each.';
