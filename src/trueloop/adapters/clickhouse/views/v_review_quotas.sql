-- Which slices are reviewed more because of a drift alarm, from when to when (times of traces), and the series that gave it.
CREATE OR REPLACE VIEW v_review_quotas AS
SELECT application, slice, rate, starts_at, ends_at, series_id, drift_signal_id, policy_id, policy_version, quota_id, occurred_at
FROM review_quotas FINAL
ORDER BY starts_at DESC
COMMENT 'Which slices are reviewed more because of a drift alarm, from when to when.';
