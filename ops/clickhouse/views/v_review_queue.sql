-- What waits for reviewers: every task with the labels that it has (one per reviewer) and needs. OPEN, OVERDUE or DONE. Holds no human text.
-- Estimates over all traces take the tasks `in_population` only, each with the weight 1 / sampling_prob: an appeal was chosen by a user, an
-- adjudication for what reviewers said of the task that it `adjudicates`, and the answers of a trial were never served.
CREATE OR REPLACE VIEW v_review_queue AS
SELECT
    t.application AS application, t.task_id AS task_id, multiIf(labels_received >= t.labels_needed, 'DONE', t.due_at < now(), 'OVERDUE', 'OPEN') AS status,
    ifNull(l.reviewers, 0) AS labels_received, t.labels_needed AS labels_needed, t.due_at AS due_at, t.pool AS pool, t.form AS form,
    t.reasons AS reasons, NOT hasAny(t.reasons, ['APPEAL', 'ADJUDICATION', 'TRIAL']) AS in_population, t.stratum AS stratum,
    t.sampling_prob AS sampling_prob, t.adjudicates AS adjudicates, t.split AS split, t.trainable AS trainable, t.slices AS slices,
    t.rubric_id AS rubric_id, t.rubric_version AS rubric_version, t.policy_id AS policy_id, t.policy_version AS policy_version,
    t.trace_id AS trace_id, t.occurred_at AS occurred_at, l.newest AS newest_label_at
FROM
(
    SELECT * EXCEPT (messages, candidates)
    FROM review_queue FINAL
    ORDER BY _offset DESC
    LIMIT 1 BY application, task_id
) AS t
LEFT JOIN
(
    SELECT application, task_id, toNullable(uniqExact(reviewer_id)) AS reviewers, toNullable(max(occurred_at)) AS newest
    FROM v_labels
    WHERE counts
    GROUP BY application, task_id
) AS l ON t.application = l.application AND t.task_id = l.task_id
COMMENT 'What waits for reviewers: every task with the labels that it has and needs. OPEN, OVERDUE or DONE.';
