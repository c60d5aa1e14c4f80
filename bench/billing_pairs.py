"""The billing task as a benchmark of optimisers: sampled answers, pairs of them judged by simulated reviewers, and what a model is worth."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from simulated_panel import Panel, place_of_better
from trueloop.trainers.generate import generate
from trueloop.trainers.loaded_model import LoadedModel

from trueloop.adapters.documents import load_rubric
from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.demo import base_checkpoint, billing
from trueloop.demo.billing_checks import DIMENSIONS, check
from trueloop.events import DimensionOutcome, Message, PairSource, PreferencePair, Role, Split, derive_id, prompt_hash
from trueloop.pairs.comparison import net_wins

PROMPTS, SAMPLES, PAIRS_PER_PROMPT, HELD_OUT = 500, 4, 3, 300
NEW_TOKENS = 64
RUBRIC = load_rubric("billing-support")
AT = datetime(2026, 11, 1, tzinfo=UTC)
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Prompt:
    """A prompt as chat messages."""

    messages: tuple[Mapping[str, str], ...]

    @property
    def events(self) -> list[Message]:
        """As events have it."""
        return [Message(role=Role(message["role"].upper()), content=message["content"]) for message in self.messages]

    @property
    def identity(self) -> str:
        """The hash of the prompt."""
        return prompt_hash(self.events)


def base_model() -> Path:
    """Return the demo's base checkpoint; the first time it is trained, in about two minutes."""
    return base_checkpoint.cached() or base_checkpoint.train(lambda step, total: None)


def training_prompts(seed: int) -> list[Prompt]:
    """Return the prompts that a seed trains on."""
    return _prompts(f"optimisers {seed}", PROMPTS)


def held_out_prompts(seed: int) -> list[Prompt]:
    """Return the prompts that a seed is scored on: of each seed its own, so that the spread over seeds holds theirs too. None is trained on."""
    found = _prompts(f"optimisers held out {seed}", HELD_OUT)
    trained = {prompt.identity for prompt in training_prompts(seed)}
    return [prompt for prompt in found if prompt.identity not in trained]


def _prompts(salt: str, number: int) -> list[Prompt]:
    return [Prompt(tuple(billing.make_case(index, salt).messages)) for index in range(number)]


def sampled(model: LoadedModel, seed: int) -> list[list[str]]:
    """Return the model's answers to the training prompts of a seed, `SAMPLES` to each."""
    asked = [list(prompt.messages) for prompt in training_prompts(seed)]
    return generate(model.model, model.tokenizer, asked, max_new_tokens=NEW_TOKENS, temperature=1.0, seed=seed, n=SAMPLES)


def remembered(path: Path, make: Any) -> Any:
    """Return what a JSON file holds, which is made when it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make()), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def compared(one: Scores, other: Scores) -> dict[str, int]:
    """Return on which dimensions the one is better (1), as good (0) or worse (-1)."""
    return {name: (one[name] > other[name]) - (one[name] < other[name]) for name in DIMENSIONS}


def pairs_dataset(answers: Sequence[Sequence[str]], panel: Panel) -> PairsDataset:
    """Return the pairs of a seed: those of up to `PAIRS_PER_PROMPT` of each prompt that differ most, each ordered by one reviewer, by the rubric.

    A reviewer who errs turns the pair round with all that they say of it. The order's probability is the product's, from known answers and labels.
    """
    drafts: dict[str, PreferencePair] = {}
    votes: dict[str, tuple[int, int]] = {}
    for prompt, completions in zip(training_prompts(panel.seed), answers, strict=True):
        for better, worse, outcomes, margin in _widest(prompt, completions):
            task = derive_id("pair", str(panel.seed), prompt.identity, better, worse)
            reviewer, place = panel.reviewer_of(task), place_of_better(task, panel.seed)
            wrong = panel.errs(reviewer, task)
            votes[task] = reviewer, 1 - place if wrong else place
            # What a reviewer who errs says of the worse one is what is true of the better.
            texts = {"chosen": worse, "rejected": better} if wrong else {"chosen": better, "rejected": worse}
            drafts[task] = event(prompt, task, f"reviewer-{reviewer}", source=PairSource.PAIRWISE, outcomes=outcomes, margin=margin, **texts)
    chances = panel.order_probabilities(votes)
    pairs = [draft.model_copy(update={"p_correct": chances[task]}) for task, draft in sorted(drafts.items())]
    return PairsDataset(tuple(pairs), derive_id("optimisers", str(panel.seed), str(panel.noise)))


def _widest(prompt: Prompt, completions: Sequence[str]) -> list[tuple[str, str, dict[str, int], float]]:
    scored = {text: check(prompt.messages, text) for text in dict.fromkeys(completions)}
    found = []
    for first, second in combinations(sorted(scored), 2):
        order = net_wins(compared(scored[first], scored[second]), RUBRIC)
        if order.direction:
            better, worse = (first, second) if order.direction > 0 else (second, first)
            found.append((better, worse, compared(scored[better], scored[worse]), order.margin))
    return sorted(found, key=lambda each: (-each[3], each[:2]))[:PAIRS_PER_PROMPT]


def event(prompt: Prompt, task: str, reviewer: str, *, source: PairSource, outcomes: Mapping[str, int], margin: float, **texts: Any) -> PreferencePair:
    """Return a pair as the loop would have it; `texts` are chosen and rejected, and what else is to be set."""
    told = {"pair_id": task, "weight": 1.0} | texts
    return PreferencePair(
        event_id=told["pair_id"], occurred_at=AT, application="bench", prompt_hash=prompt.identity, split=Split.TRAIN, trainable=True, margin=margin,
        source=source, outcomes=[DimensionOutcome(dimension=name, outcome=value) for name, value in outcomes.items()], task_id=task, trace_id=task,
        label_ids=[task], reviewers=[reviewer], rubric_id=RUBRIC.id, rubric_version=RUBRIC.version, rubric_hash="bench", policy_version=1,
        messages=prompt.events, **told,
    )  # fmt: skip


def scores(model: LoadedModel, seed: int) -> list[dict[str, float]]:
    """Return what the checks say of a model's answers to the held-out prompts of a seed, decoded greedily."""
    asked = held_out_prompts(seed)
    found = generate(model.model, model.tokenizer, [list(prompt.messages) for prompt in asked], max_new_tokens=NEW_TOKENS)
    return [check(prompt.messages, answers[0]) for prompt, answers in zip(asked, found, strict=True)]
