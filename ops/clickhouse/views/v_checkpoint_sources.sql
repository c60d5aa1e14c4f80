-- Which checkpoints saw what: one row per checkpoint, training pair and label behind it, with its reviewer, subject and rubric version. `via` is the
-- checkpoint that was trained on the pair: the checkpoint itself, or one that it was trained on from. Pairs count as they stood when their dataset
-- was frozen, without what had been rolled back.
CREATE OR REPLACE VIEW v_checkpoint_sources AS
WITH RECURSIVE
    trained AS
    (
        SELECT DISTINCT application, assumeNotNull(checkpoint) AS made, base_checkpoint AS base, job_id AS job, dataset AS data, dataset_version AS data_version
        FROM training_results
        WHERE status = 'SUCCEEDED' AND checkpoint IS NOT NULL AND checkpoint != base_checkpoint
    ),
    lineage AS
    (
        SELECT application, made AS checkpoint, made AS via, base, job, data, data_version FROM trained
        UNION ALL
        SELECT l.application, l.checkpoint, t.made, t.base, t.job, t.data, t.data_version
        FROM lineage AS l INNER JOIN trained AS t ON t.application = l.application AND t.made = l.base
    ),
    pairs AS
    (
        SELECT
            l.application AS application, l.checkpoint AS checkpoint, l.via AS via, l.job AS job_id, l.data AS dataset, l.data_version AS dataset_version,
            p.pair_id AS pair_id, p.trace_id AS trace_id, p.label_ids AS label_ids, p.rubric_id AS rubric_id, p.rubric_version AS rubric_version,
            p.withdrawn OR NOT p.trainable AS gone
        FROM lineage AS l
        INNER JOIN (SELECT * FROM dataset_versions FINAL WHERE kind = 'PAIRS') AS d ON d.name = l.data AND d.version = l.data_version
        INNER JOIN (SELECT * FROM preference_pairs WHERE split = 'TRAIN') AS p
            ON p.application = d.application AND p.rubric_id = d.rubric_id AND p.rubric_version = d.rubric_version
        WHERE p._offset < d.end_offset AND NOT arrayExists(part -> p._offset >= part.1 AND p._offset < part.2, d.excluded)
        ORDER BY p._offset DESC
        LIMIT 1 BY application, checkpoint, via, dataset, dataset_version, pair_id
    )
SELECT
    s.application AS application, s.checkpoint AS checkpoint, s.via AS via, s.job_id AS job_id, s.dataset AS dataset, s.dataset_version AS dataset_version,
    s.pair_id AS pair_id, s.label_id AS label_id, label.reviewer_id AS reviewer_id, s.trace_id AS trace_id, trace.subject_id AS subject_id,
    s.rubric_id AS rubric_id, s.rubric_version AS rubric_version
FROM (SELECT * EXCEPT (label_ids), arrayJoin(label_ids) AS label_id FROM pairs WHERE NOT gone) AS s
LEFT ANY JOIN (SELECT application, event_id, reviewer_id FROM labels WHERE event_id IN (SELECT arrayJoin(label_ids) FROM preference_pairs)) AS label
    ON label.application = s.application AND label.event_id = s.label_id
LEFT ANY JOIN (SELECT application, trace_id, subject_id FROM traces WHERE trace_id IN (SELECT trace_id FROM preference_pairs)) AS trace
    ON trace.application = s.application AND trace.trace_id = s.trace_id
COMMENT 'Which checkpoints saw which reviewer, subject or rubric version in training, through which pairs and labels; via another checkpoint too.';
