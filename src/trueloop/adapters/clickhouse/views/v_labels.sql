-- What reviewers said: every label, and whether it counts. A label counts unless it only retracts another, was superseded or retracted by
-- its own reviewer, or was refused (see v_dead_letters).
CREATE OR REPLACE VIEW v_labels AS
SELECT
    application, task_id, reviewer_id, event_id AS label_id, rubric_id, rubric_version, occurred_at, seconds_spent, ratings, preferences,
    length(spans) AS n_spans, rewrite.candidate_id IS NOT NULL AS rewritten, length(critiques) AS n_critiques, supersedes, retracts,
    retracts IS NULL
        AND (application, task_id, reviewer_id, event_id) NOT IN (
            SELECT application, task_id, reviewer_id, arrayJoin(arrayFilter(id -> id != '', [ifNull(supersedes, ''), ifNull(retracts, '')]))
            FROM labels FINAL
            WHERE (_partition, _offset) NOT IN (SELECT ifNull(partition, -1), ifNull(offset, -1) FROM dead_letters WHERE topic = 'labels')
        )
        AND (_partition, _offset) NOT IN (SELECT ifNull(partition, -1), ifNull(offset, -1) FROM dead_letters WHERE topic = 'labels') AS counts
FROM labels FINAL
COMMENT 'What reviewers said: every label, and whether it counts (not retracted, superseded or refused).';
