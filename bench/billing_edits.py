"""Edits of billing answers, as a reviewer or a critic makes them who looks at one dimension of an answer and may be wrong about it."""

import re
from collections.abc import Mapping, Sequence

from billing_pairs import RUBRIC, Prompt, event, training_prompts
from simulated_panel import Panel

from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.demo.billing import CLOSINGS, COURTESIES, CURT_CLOSINGS, CURT_OPENERS, DENIAL, FIELDS, GRANT
from trueloop.demo.billing_checks import DIMENSIONS, check, right_answer
from trueloop.events import PairSource, PreferencePair, Severity, SpanMark, derive_id
from trueloop.pairs.span_chain import span_chain

Messages = Sequence[Mapping[str, str]]
_LINES = re.compile(rf"^((?:{'|'.join(FIELDS)}) \$\d{{1,2}}\.\d{{2}})$", re.MULTILINE)
_SPANS = {
    "numeric_accuracy": re.compile(rf"(?:{'|'.join(FIELDS)}) \$\d{{1,2}}\.\d{{2}}"),
    "policy": re.compile("|".join(map(re.escape, (GRANT, DENIAL)))),
    "tone": re.compile("|".join(map(re.escape, (*CURT_OPENERS, *CURT_CLOSINGS, *COURTESIES["polite"], *COURTESIES["rude"], *CLOSINGS)))),
}
_SEVERITIES = {"policy": Severity.CRITICAL, "numeric_accuracy": Severity.MAJOR, "tone": Severity.MINOR}


def marks(messages: Messages, answer: str, dimension: str, *, errs: bool) -> list[SpanMark]:
    """Return what is changed of an answer by somebody who looks at one dimension: nothing, where they find it right.

    Who errs takes a wrong answer for right, and a right one for wrong: then they put in what is wrong. Nothing either where the answer does not
    have the parts of a billing answer.
    """
    right = right_answer(messages)
    finds_fault = bool(check(messages, answer)[dimension]) == errs
    if right is None or not finds_fault:
        return []
    wanted = [found.group() for found in _SPANS[dimension].finditer(right)]
    if errs:
        wanted = _wrong(messages, dimension, wanted)
    spans = [found.span() for found in _SPANS[dimension].finditer(answer)]
    if len(spans) != len(wanted):
        return []
    return [
        SpanMark(candidate_id="answer", start=start, end=end, dimension=dimension, severity=_SEVERITIES[dimension], replacement=text)
        for (start, end), text in zip(spans, wanted, strict=True)
    ]


def _wrong(messages: Messages, dimension: str, right: list[str]) -> list[str]:
    if dimension == "policy":
        return [DENIAL if right == [GRANT] else GRANT]
    if dimension == "tone":
        return [CURT_OPENERS[0], CURT_CLOSINGS[0]]
    return [next(line for line in _LINES.findall(messages[0]["content"]) if line not in right)]


def edited(messages: Messages, answer: str, dimension: str, *, errs: bool) -> str:
    """Return the answer with those changes made."""
    chain = span_chain(answer, marks(messages, answer, dimension, errs=errs))
    return chain.texts[-1]


def edits_dataset(answers: Sequence[Sequence[str]], panel: Panel) -> PairsDataset:
    """Return the chains of a seed: the first answer to each prompt, edited by one reviewer whose judgement of each dimension may be wrong."""
    pairs = []
    for prompt, completions in zip(training_prompts(panel.seed), answers, strict=True):
        task = derive_id("edits", str(panel.seed), prompt.identity)
        reviewer = panel.reviewer_of(task)
        made = [
            mark for dimension in DIMENSIONS for mark in marks(prompt.messages, completions[0], dimension, errs=panel.errs(reviewer, f"{task}-{dimension}"))
        ]
        pairs += _chain(prompt, task, f"reviewer-{reviewer}", completions[0], made)
    return PairsDataset(tuple(sorted(pairs, key=lambda pair: pair.pair_id)), derive_id("edits", str(panel.seed), str(panel.noise)))


def _chain(prompt: Prompt, task: str, reviewer: str, answer: str, made: Sequence[SpanMark]) -> list[PreferencePair]:
    """As the loop makes them of spans: the last version over the first, and each version over the one before it."""
    chain = span_chain(answer, made)
    steps = [(before, after, step.severity / chain.severity) for before, after, step in zip(chain.texts, chain.texts[1:], chain.steps, strict=False)]
    whole = [(chain.texts[0], chain.texts[-1], 1.0)] if len(steps) > 1 else []
    found = [*whole, *steps]
    return [
        event(
            prompt, task, reviewer, source=PairSource.SPAN, outcomes={}, margin=margin, pair_id=derive_id(task, str(number)), weight=1.0 / len(found),
            chosen=after, rejected=before,
        )
        for number, (before, after, margin) in enumerate(found)
    ]  # fmt: skip


PRINCIPLES = dict(zip(("quote-the-ledger", "keep-the-refund-rule", "be-courteous"), DIMENSIONS, strict=True))
"""Principle of the rubric's constitution -> the dimension that it is about."""
DIMENSION_OF_REVISION = {principle.revision: PRINCIPLES[principle.name] for principle in RUBRIC.principles}
