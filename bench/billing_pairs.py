"""The billing task as a benchmark of optimisers: pairs of sampled answers, judged by simulated reviewers of whom some are careless."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from trueloop.trainers.generate import generate
from trueloop.trainers.loaded_model import LoadedModel

from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.demo import base_checkpoint, billing
from trueloop.demo.billing_checks import DIMENSIONS, check
from trueloop.events import DimensionOutcome, Message, PairSource, PreferencePair, Role, Split, derive_id, prompt_hash, unit_interval

PROMPTS, SAMPLES, PAIRS_PER_PROMPT, HELD_OUT = 500, 4, 3, 300
NEW_TOKENS = 64
REVIEWERS, GOLD = 10, 40
AT = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Prompt:
    """A prompt as chat messages, and its identity."""

    messages: tuple[Mapping[str, str], ...]

    @property
    def events(self) -> list[Message]:
        """As events have it."""
        return [Message(role=Role(message["role"].upper()), content=message["content"]) for message in self.messages]


def base_model() -> Path:
    """Return the demo's base checkpoint; the first time it is trained, in about two minutes."""
    return base_checkpoint.cached() or base_checkpoint.train(lambda step, total: None)


def prompts(salt: str, number: int) -> list[Prompt]:
    """Return that many prompts; another salt gives others."""
    return [Prompt(tuple(billing.make_case(index, salt).messages)) for index in range(number)]


def sampled(model: LoadedModel, seed: int, cache: Path) -> list[list[str]]:
    """Return the base model's answers to the training prompts of a seed, remembered in a file."""
    if not cache.exists():
        asked = [list(prompt.messages) for prompt in prompts(f"optimisers {seed}", PROMPTS)]
        found = generate(model.model, model.tokenizer, asked, max_new_tokens=NEW_TOKENS, temperature=1.0, seed=seed, n=SAMPLES)
        cache.write_text(json.dumps(found), encoding="utf-8")
    answers: list[list[str]] = json.loads(cache.read_text(encoding="utf-8"))
    return answers


def error_rate(reviewer: int, noise: float) -> float:
    """Return how often a reviewer is wrong: half of them are careful, half careless, and `noise` is the mean."""
    return noise * (0.2 if reviewer % 2 else 1.8)


def measured_accuracy(reviewer: int, noise: float, seed: int) -> float:
    """Return what `GOLD` tasks with known answers say of a reviewer: the mean of a uniform prior's posterior."""
    right = sum(unit_interval("gold", str(seed), str(reviewer), str(item)) >= error_rate(reviewer, noise) for item in range(GOLD))
    return (right + 1) / (GOLD + 2)


def dataset(answers: Sequence[Sequence[str]], noise: float, seed: int) -> PairsDataset:
    """Return the pairs of a seed: up to `PAIRS_PER_PROMPT` of each prompt, each judged by one reviewer, who turns it round by mistake."""
    pairs = []
    for number, (prompt, completions) in enumerate(zip(prompts(f"optimisers {seed}", PROMPTS), answers, strict=True)):
        scored = {text: check(prompt.messages, text) for text in dict.fromkeys(completions)}
        ranked = sorted(
            ((first, second) for first, second in combinations(scored, 2) if _net(scored[first], scored[second])),
            key=lambda both: (-abs(_net(scored[both[0]], scored[both[1]])), both),
        )
        for chosen, rejected in ranked[:PAIRS_PER_PROMPT]:
            pairs.append(_pair(prompt, (chosen, rejected), scored, reviewer=number % REVIEWERS, noise=noise, seed=seed))
    return PairsDataset(tuple(sorted(pairs, key=lambda pair: pair.pair_id)), derive_id("optimisers", str(seed), str(noise)))


def _net(one: Mapping[str, float], other: Mapping[str, float]) -> int:
    return sum((one[name] > other[name]) - (one[name] < other[name]) for name in DIMENSIONS)


def _pair(prompt: Prompt, texts: tuple[str, str], scored: Mapping[str, Mapping[str, float]], *, reviewer: int, noise: float, seed: int) -> PreferencePair:
    chosen, rejected = texts if _net(scored[texts[0]], scored[texts[1]]) > 0 else texts[::-1]
    identity = derive_id("pair", str(seed), prompt_hash(prompt.events), chosen, rejected)
    outcomes = {name: int((scored[chosen][name] > scored[rejected][name]) - (scored[chosen][name] < scored[rejected][name])) for name in DIMENSIONS}
    if unit_interval("flip", str(seed), identity) < error_rate(reviewer, noise):
        chosen, rejected = rejected, chosen  # the outcomes stay: the reviewer says of the worse one what is true of the better
    return PreferencePair(
        event_id=identity, occurred_at=AT, application="bench", pair_id=identity, prompt_hash=prompt_hash(prompt.events), split=Split.TRAIN, trainable=True,
        margin=abs(_net(scored[chosen], scored[rejected])) / len(DIMENSIONS), p_correct=measured_accuracy(reviewer, noise, seed), weight=1.0,
        source=PairSource.PAIRWISE, outcomes=[DimensionOutcome(dimension=name, outcome=value) for name, value in outcomes.items()],
        task_id=identity, trace_id=identity, label_ids=[identity], reviewers=[f"reviewer-{reviewer}"], rubric_id="bench", rubric_version=1,
        rubric_hash="bench", policy_version=1, messages=prompt.events, chosen=chosen, rejected=rejected,
    )  # fmt: skip


def scores(model: LoadedModel) -> list[dict[str, float]]:
    """Return what the checks say of a model's answers to the held-out prompts, decoded greedily."""
    asked = prompts("optimisers held out", HELD_OUT)
    found = generate(model.model, model.tokenizer, [list(prompt.messages) for prompt in asked], max_new_tokens=NEW_TOKENS)
    return [check(prompt.messages, answers[0]) for prompt, answers in zip(asked, found, strict=True)]
