-- How far reviewers disagree (1 - observed agreement) as sampling was told: from when on (times of traces), and the tasks that it stands on.
CREATE OR REPLACE VIEW v_slice_disagreements AS
SELECT application, dimension, slice, disagreement, n_tasks, starts_at, rubric_id, rubric_version, policy_id, policy_version, agreement_id, disagreement_id, occurred_at
FROM slice_disagreements FINAL
ORDER BY starts_at DESC
COMMENT 'How far reviewers disagree in each slice, as sampling was told, and from when on.';
