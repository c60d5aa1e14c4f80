"""Rows that a run keeps from training to look at while it trains, and how good a model is on them, by kind of row."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueloop.trainers.frame.stopping import HeldOutStopping, Look, Score
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.loaded_model import LoadedModel

Row = dict[str, Any]
Scorer = Callable[[Any], list[float | None]]
"""The scores of a model on the held-out rows, in their order; None where there is no evidence, such as a row that does not fit the context."""


@dataclass(frozen=True)
class HeldOut:
    """The rows that are looked at while training, how a model is scored on them, and when that ends the run."""

    rows: Sequence[Row]
    scorer: Scorer
    rules: HeldOutStopping

    def look(self, step: int, model: Any) -> Look | None:
        """Score the model; None without evidence."""
        return look_at(step, self.scorer(model), [row.get("slices") or {} for row in self.rows])


def split_by_prompt(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Return the rows to train on and those held out: of all prompts about that share, chosen by a hash of prompt and seed.

    All rows of a prompt are on one side, so that nothing leaks. The calibration set is not touched: it is a split of its own, made before.

    >>> rows = [{"prompt": str(number % 10)} for number in range(100)]
    >>> train, held = split_by_prompt(rows, 0.3, seed=0)
    >>> len(train) + len(held), {row["prompt"] for row in train} & {row["prompt"] for row in held}
    (100, set())
    """
    train: list[Row] = []
    held: list[Row] = []
    for row in rows:
        digest = hashlib.sha256(f"{seed}\0{json.dumps(row['prompt'], sort_keys=True, ensure_ascii=False)}".encode()).digest()
        (held if int.from_bytes(digest[:8], "big") / 2**64 < share else train).append(row)
    return train, held


def hold_out(rows: Sequence[Row], rules: HeldOutStopping, seed: int) -> tuple[list[Row], list[Row]]:
    """Return the rows to train on and those held out, none when the rules ask for none. Raises DatasetError when a side that is wanted stays empty."""
    train, held = split_by_prompt(rows, rules.share, seed)
    if not train or (rules.share and not held):
        raise DatasetError(f"of {len(rows)} rows {len(held)} are held out; expected some on each side: collect more prompts, or change stopping.share")
    return train, held


def look_at(step: int, scores: Sequence[float | None], slices: Sequence[Mapping[str, str]]) -> Look | None:
    """Return the mean of the scores that there are, over all and by slice; None when there are none.

    >>> look_at(10, [1.0, None, 0.0], [{"lang": "en"}, {"lang": "en"}, {"lang": "de"}]).slices["lang=en"]
    Score(value=1.0, n=1)
    """
    groups: dict[str, list[float]] = {}
    for score, of in zip(scores, slices, strict=True):
        if score is not None:
            groups.setdefault("", []).append(score)
            for name, value in of.items():
                groups.setdefault(f"{name}={value}", []).append(score)
    if not groups:
        return None
    means = {name: Score(sum(values) / len(values), len(values)) for name, values in groups.items()}
    return Look(step, means.pop(""), means)


def pair_scorer(tokenizer: Any, rows: Sequence[Row]) -> Scorer:
    """Return the scorer that gives 1 where a causal model finds the chosen completion likelier per token, 0 where the rejected one, 0.5 on a tie.

    It is the measure of the gate's evaluator 'preference-accuracy', on other pairs.
    """
    prompts = [row["prompt"] for row in rows]
    texts = [[row[column][-1]["content"] for row in rows] for column in ("chosen", "rejected")]

    def score(model: Any) -> list[float | None]:
        means = LoadedModel(model, tokenizer).mean_log_probabilities(prompts * 2, texts[0] + texts[1])
        scores: list[float | None] = []
        for chosen, rejected in zip(means[: len(rows)], means[len(rows) :], strict=True):
            scores.append(None if chosen is None or rejected is None else 0.5 if chosen == rejected else float(chosen > rejected))
        return scores

    return score


def likelihood_scorer(tokenizer: Any, rows: Sequence[Row]) -> Scorer:
    """Return the scorer that gives the mean log-probability per token, in nats (<= 0), of each completion after its prompt."""
    prompts, texts = [row["prompt"] for row in rows], [row["completion"][-1]["content"] for row in rows]
    return lambda model: LoadedModel(model, tokenizer).mean_log_probabilities(prompts, texts)


def direction_scorer(tokenizer: Any, rows: Sequence[Row], reference: Any) -> Scorer:
    """Return the scorer that gives 1 where a good completion (`label`) became likelier than `reference` finds it, or one that is not good less likely.

    0 where it went the other way, and 0.5 where nothing changed, as before the first step. `reference` is asked now, and not again.
    """
    likelihood = likelihood_scorer(tokenizer, rows)
    before = likelihood(reference)

    def score(model: Any) -> list[float | None]:
        scores: list[float | None] = []
        for row, now, then in zip(rows, likelihood(model), before, strict=True):
            scores.append(None if now is None or then is None else 0.5 if now == then else float((now > then) == row["label"]))
        return scores

    return score
