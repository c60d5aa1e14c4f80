-- Which checkpoint served when: every release, `serving` marks the one per application that serves now. A rollback is a release too.
CREATE OR REPLACE VIEW v_releases AS
SELECT
    application, checkpoint, previous, reason, gate_id, causes, checkpoint_uri, checkpoint_sha256, occurred_at AS since,
    leadInFrame(toNullable(occurred_at)) OVER (PARTITION BY application ORDER BY _offset ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until,
    _offset = max(_offset) OVER (PARTITION BY application) AS serving, event_id
FROM releases FINAL
COMMENT 'Which checkpoint served when: every release; serving marks the one per application that serves now.';
