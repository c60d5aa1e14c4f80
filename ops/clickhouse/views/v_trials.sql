-- What people say of candidates beside what served: one row per trial, in the order in which answers count. `verdict` is what stands: what reviewers
-- decided among themselves, else what a senior said. Trials whose answers were the same are ties of which nobody was asked. Holds no human text.
CREATE OR REPLACE VIEW v_trials AS
SELECT
    e.application AS application, e.candidate AS candidate, e.baseline AS baseline, e.evaluation_id AS evaluation_id, e.place AS place,
    e.item.trial_id AS trial_id, e.item.item_id AS item_id, e.item.identical AS identical, nullIf(q.task_id, '') AS task_id,
    nullIf(q.senior_task_id, '') AS senior_task_id,
    multiIf(e.item.identical, 'TIE', r.verdict IN ('CANDIDATE', 'BASELINE', 'TIE'), toString(r.verdict), s.verdict IN ('CANDIDATE', 'BASELINE', 'TIE'),
        toString(s.verdict), r.verdict = 'SPLIT', 'SPLIT', 'OPEN') AS verdict,
    nullIf(if(r.verdict IN ('CANDIDATE', 'BASELINE', 'TIE'), r.dimension, s.dimension), '') AS dimension
FROM
(
    SELECT application, candidate, baseline, event_id AS evaluation_id, place, item
    FROM evaluations FINAL
    ARRAY JOIN trials AS item, arrayEnumerate(trials) AS place
) AS e
LEFT JOIN
(
    SELECT application, assumeNotNull(trial.trial_id) AS trial_id, anyIf(t.task_id, NOT assumeNotNull(trial.senior)) AS task_id,
        anyIf(t.task_id, assumeNotNull(trial.senior)) AS senior_task_id
    FROM review_queue AS t
    WHERE trial.trial_id IS NOT NULL
    GROUP BY application, trial_id
) AS q ON e.application = q.application AND e.item.trial_id = q.trial_id
LEFT JOIN (SELECT * FROM trial_outcomes FINAL WHERE NOT senior ORDER BY revision DESC, _offset DESC LIMIT 1 BY application, trial_id) AS r
    ON e.application = r.application AND e.item.trial_id = r.trial_id
LEFT JOIN (SELECT * FROM trial_outcomes FINAL WHERE senior ORDER BY revision DESC, _offset DESC LIMIT 1 BY application, trial_id) AS s
    ON e.application = s.application AND e.item.trial_id = s.trial_id
ORDER BY e.application, evaluation_id, place
COMMENT 'What people say of candidates beside what served: one row per trial, in the order in which answers count.';
