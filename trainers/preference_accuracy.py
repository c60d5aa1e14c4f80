"""How often a model finds the better of two completions likelier, on held-out pairs."""

from collections.abc import Callable, Mapping, Sequence

from trueloop.trainers.loaded_model import LoadedModel

from trueloop.datasets.chat import chat_messages
from trueloop.events import PreferencePair

EVALUATOR = "preference-accuracy"
CHUNK = 256
"""Pairs between two signs of life."""


def log_odds(loaded: LoadedModel, pairs: Sequence[PreferencePair], alive: Callable[[], None]) -> dict[str, float]:
    """Return, by pair id, the mean log-probability per token of the chosen completion minus that of the rejected one.

    Pairs that do not fit the model's context are left out.
    """
    odds: dict[str, float] = {}
    for start in range(0, len(pairs), CHUNK):
        chunk = pairs[start : start + CHUNK]
        prompts = [chat_messages(pair.messages) or [] for pair in chunk]
        means = loaded.mean_log_probabilities(prompts * 2, [pair.chosen for pair in chunk] + [pair.rejected for pair in chunk])
        for pair, chosen, rejected in zip(chunk, means[: len(chunk)], means[len(chunk) :], strict=True):
            if chosen is not None and rejected is not None:
                odds[pair.pair_id] = chosen - rejected
        alive()
    return odds


def accuracy(dimension: str, pairs: Sequence[PreferencePair], odds: Mapping[str, float]) -> dict[str, float]:
    """Return, by pair id, 1.0 when the model agrees with the reviewers on the dimension, 0.0 when not, 0.5 when it is undecided.

    Where the pair tells the outcome on the dimension, that one counts, and a tie is no evidence; otherwise the order of the pair counts.
    """
    scores: dict[str, float] = {}
    for pair in pairs:
        if pair.pair_id not in odds:
            continue
        outcome = next((found.outcome for found in pair.outcomes if found.dimension == dimension), 1)
        if outcome:
            agreement = odds[pair.pair_id] * outcome
            scores[pair.pair_id] = 1.0 if agreement > 0 else 0.0 if agreement < 0 else 0.5
    return scores
