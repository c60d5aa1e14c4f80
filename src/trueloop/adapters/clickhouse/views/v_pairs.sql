-- What can be trained on: the newest version of each preference pair, without those that later labels took back.
CREATE OR REPLACE VIEW v_pairs AS
SELECT * EXCEPT (withdrawn, _topic, _partition, _offset, _timestamp), _offset AS revision_offset
FROM
(
    SELECT *
    FROM preference_pairs FINAL
    ORDER BY _offset DESC
    LIMIT 1 BY application, pair_id
)
WHERE NOT withdrawn
COMMENT 'What can be trained on: the newest version of each preference pair that was not withdrawn.';
