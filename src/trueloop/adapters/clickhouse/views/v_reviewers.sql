-- How reliable each reviewer is now.
CREATE OR REPLACE VIEW v_reviewers AS
SELECT * EXCEPT (_topic, _partition, _offset, _timestamp), if(n_gold = 0, NULL, gold_correct / n_gold) AS gold_accuracy
FROM reviewers FINAL
COMMENT 'How reliable each reviewer is now; gold_accuracy is null without gold items.';
