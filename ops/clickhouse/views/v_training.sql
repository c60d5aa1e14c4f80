-- What was trained: one row per job with its order and where it stands. REQUESTED until a trainer took it.
CREATE OR REPLACE VIEW v_training AS
SELECT
    q.application AS application, q.job_id AS job_id, if(r.job_id = '', 'REQUESTED', r.status) AS status, q.method AS method, q.reason AS reason,
    q.drift_signal_id AS drift_signal_id,
    q.base_checkpoint AS base_checkpoint, q.baseline_checkpoint AS baseline_checkpoint, q.dataset AS dataset, q.dataset_version AS dataset_version,
    r.step AS step, r.total_steps AS total_steps, r.seconds AS seconds, r.tokens AS tokens, r.metrics AS metrics, r.checkpoint AS checkpoint,
    r.checkpoint_uri AS checkpoint_uri, r.seed AS seed, r.error_class AS error_class, r.error AS error, q.policy_id AS policy_id,
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
    ORDER BY status IN ('SUCCEEDED', 'FAILED') DESC, _offset DESC
    LIMIT 1 BY application, job_id
) AS r ON q.application = r.application AND q.job_id = r.job_id
COMMENT 'What was trained: one row per job with its order and where it stands.';
