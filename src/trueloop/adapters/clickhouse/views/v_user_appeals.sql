-- What became of appeals: one row per trace that users objected to. NOT_REVIEWED without consent or content. `labels_uninvolved` counts reviewers
-- of the re-review who labelled no other task of the trace, who settles the re-review itself aside: only these speak on the appeal. Holds no human text.
CREATE OR REPLACE VIEW v_user_appeals AS
SELECT
    a.application AS application, a.trace_id AS trace_id, a.appeals AS appeals, a.dimensions AS dimensions, a.first_at AS first_at, a.newest_at AS newest_at,
    if(q.task_id = '', 'NOT_REVIEWED', q.status) AS status, nullIf(q.task_id, '') AS task_id, q.labels_needed AS labels_needed,
    q.labels_received AS labels_received, ifNull(u.reviewers, 0) AS labels_uninvolved
FROM
(
    SELECT application, trace_id, uniqExact(event_id) AS appeals, arraySort(groupUniqArray(dimension)) AS dimensions, min(occurred_at) AS first_at,
        max(occurred_at) AS newest_at
    FROM appeals FINAL
    GROUP BY application, trace_id
) AS a
LEFT JOIN (SELECT * FROM v_review_queue WHERE has(reasons, 'APPEAL')) AS q ON a.application = q.application AND a.trace_id = q.trace_id
LEFT JOIN
(
    SELECT l.application AS application, l.task_id AS task_id, toNullable(uniqExact(l.reviewer_id)) AS reviewers
    FROM (SELECT application, task_id, reviewer_id FROM v_labels WHERE counts) AS l
    INNER JOIN (SELECT application, task_id, trace_id FROM v_review_queue WHERE has(reasons, 'APPEAL')) AS t
        ON l.application = t.application AND l.task_id = t.task_id
    WHERE (l.application, t.trace_id, l.reviewer_id) NOT IN
    (
        SELECT o.application, o.trace_id, v.reviewer_id
        FROM (SELECT application, task_id, reviewer_id FROM v_labels WHERE counts) AS v
        INNER JOIN
        (
            SELECT application, task_id, trace_id
            FROM v_review_queue
            WHERE (in_population OR (application, adjudicates) IN (SELECT application, toNullable(task_id) FROM v_review_queue WHERE in_population))
                AND (application, trace_id) IN (SELECT application, trace_id FROM appeals)
        ) AS o ON v.application = o.application AND v.task_id = o.task_id
    )
    GROUP BY l.application, l.task_id
) AS u ON q.application = u.application AND q.task_id = u.task_id
COMMENT 'What became of appeals: one row per trace that users objected to, with its re-review and the labels of uninvolved reviewers.';
