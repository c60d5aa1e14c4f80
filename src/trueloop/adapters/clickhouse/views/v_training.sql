-- What was trained: one row per job with its request and where its newest attempt stands, and what a person ordered about it last.
-- REQUESTED until a trainer took it.
CREATE OR REPLACE VIEW v_training AS
SELECT
    q.application AS application, q.job_id AS job_id, if(r.job_id = '', 'REQUESTED', r.status) AS status, if(r.job_id = '', 1, r.attempt) AS attempt,
    q.method AS method, q.reason AS reason,
    q.drift_signal_id AS drift_signal_id,
    q.base_checkpoint AS base_checkpoint, q.baseline_checkpoint AS baseline_checkpoint, q.dataset AS dataset, q.dataset_version AS dataset_version,
    r.step AS step, r.total_steps AS total_steps, r.seconds AS seconds, r.tokens AS tokens, r.metrics AS metrics, r.checkpoint AS checkpoint,
    r.checkpoint_uri AS checkpoint_uri, r.seed AS seed, r.error_class AS error_class, r.error AS error,
    o.kind AS ordered, o.reason AS order_reason, o.ordered_by AS ordered_by, q.policy_id AS policy_id,
    q.policy_version AS policy_version, q.occurred_at AS requested_at, if(r.job_id = '', NULL, r.occurred_at) AS updated_at
FROM
(
    SELECT *
    FROM training_requests FINAL
    ORDER BY _offset ASC
    LIMIT 1 BY application, job_id
) AS q
LEFT JOIN
(
    SELECT *
    FROM training_results FINAL
    ORDER BY attempt DESC, status IN ('SUCCEEDED', 'FAILED', 'CANCELLED') DESC, _offset DESC
    LIMIT 1 BY application, job_id
) AS r ON q.application = r.application AND q.job_id = r.job_id
LEFT JOIN
(
    SELECT application, job_id, toNullable(kind) AS kind, toNullable(reason) AS reason, toNullable(ordered_by) AS ordered_by
    FROM job_orders FINAL
    ORDER BY attempt DESC, _offset DESC
    LIMIT 1 BY application, job_id
) AS o ON q.application = o.application AND q.job_id = o.job_id
COMMENT 'What was trained: one row per job with its request, where its newest attempt stands, and what a person ordered about it last.';
