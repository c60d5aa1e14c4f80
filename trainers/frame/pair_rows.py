"""Rows of preference pairs: what the methods that compare two completions read."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueloop.trainers.frame.rows_file import completion, conversation, read_rows, slices
from trueloop.trainers.frame.training_errors import DatasetError


@dataclass(frozen=True)
class PairRows:
    """Pairs in TRL's columns (prompt, chosen, rejected) with weight, margin, p_correct, slices, outcomes and pair_id, and what was left out."""

    rows: list[dict[str, Any]]
    without_weight: int

    def counts(self) -> dict[str, float]:
        """Return the numbers for the report."""
        return {"pairs": float(len(self.rows)), "pairs_without_weight": float(self.without_weight)}


def read_pairs(path: Path, *, weighted: bool = False) -> PairRows:
    """Read the pairs. Where weights count, those of weight 0 are left out and counted.

    Raises DatasetError naming the line: no pair, a malformed one, chosen and rejected the same, or nothing but pairs of weight 0.
    """
    rows, without = [], 0
    for line, row in read_rows(path):
        pair = _pair(row, line)
        if weighted and pair["weight"] == 0:
            without += 1
        else:
            rows.append(pair)
    if not rows:
        raise DatasetError(f"all {without} pairs have weight 0; expected one that counts: reviewers in onboarding or quarantine have no weight")
    return PairRows(rows, without)


def _pair(row: dict[str, Any], line: int) -> dict[str, Any]:
    chosen, rejected = completion(row, "chosen", line), completion(row, "rejected", line)
    if chosen == rejected:
        raise DatasetError(f"line {line}: chosen and rejected are the same; expected two completions, one better: drop the row")
    outcomes = row.get("outcomes") or {}
    if not isinstance(outcomes, dict) or not set(outcomes.values()) <= {-1, 0, 1}:
        raise DatasetError(f"line {line}: 'outcomes' are malformed; expected {{dimension: -1, 0 or 1}}: export the dataset again")
    return {
        "prompt": conversation(row, "prompt", line),
        "chosen": chosen,
        "rejected": rejected,
        "weight": _number(row, "weight", line, 1.0, math.inf),
        "margin": _number(row, "margin", line, 0.0, math.inf),
        "p_correct": None if row.get("p_correct") is None else _number(row, "p_correct", line, 1.0, 1.0),
        "slices": slices(row, line),
        "outcomes": outcomes,
        "pair_id": str(row.get("pair_id") or f"line-{line}"),
    }


def _number(row: dict[str, Any], column: str, line: int, absent: float, most: float) -> float:
    value = row.get(column, absent)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= most:
        raise DatasetError(f"line {line}: {column!r} is no number from 0 to {most:g}; export the dataset again")
    return float(value)
