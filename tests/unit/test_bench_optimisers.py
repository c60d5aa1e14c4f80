"""The optimisers' benchmark: what its reviewers, critic and tables say. Nothing is trained."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from trueloop.datasets.chain_rows import chain_rows
from trueloop.demo.billing import FaultRates, corpus_pair
from trueloop.demo.billing_checks import DIMENSIONS, check, right_answer
from trueloop.judges.constitution import critique_question, revision_question
from trueloop.judges.question import preference_question
from trueloop.rubrics import OVERALL

pytest.importorskip("torch")
pytest.importorskip("scipy")

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))
try:
    import billing_edits
    import billing_pairs
    import optimiser_tables
    from cases import scripted_critic
    from simulated_panel import Panel
finally:
    sys.path.remove(str(BENCH))

SEED = 1
WRONG = FaultRates(1.0, 1.0, 1.0)


def answers() -> list[list[str]]:
    """Two different answers to each training prompt, as the corpus with faults and the one without them have them."""
    prompts = range(billing_pairs.PROMPTS)
    return [[corpus_pair(number, f"optimisers {SEED}", rates)[1] for rates in (WRONG, FaultRates(0, 0, 0))] for number in prompts]


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.2])
def test_reviewers_err_as_often_as_stated_and_are_known_by_their_answers(noise: float) -> None:
    truth = {pair.pair_id: pair.chosen for pair in billing_pairs.pairs_dataset(answers(), Panel(0.0, SEED)).pairs}
    pairs = billing_pairs.pairs_dataset(answers(), Panel(noise, SEED)).pairs
    right = {pair.pair_id: pair.chosen == truth[pair.pair_id] for pair in pairs}
    assert len(pairs) > 200
    assert sum(right.values()) / len(right) == pytest.approx(1 - noise, abs=0.05)
    told = [pair.p_correct for pair in pairs if pair.p_correct is not None]
    assert len(told) == len(pairs)
    assert sum(told) / len(told) == pytest.approx(1 - noise, abs=0.05)
    careful = [pair.p_correct or 0.0 for pair in pairs if int(pair.reviewers[0].split("-")[1]) % 2]
    careless = [pair.p_correct or 0.0 for pair in pairs if not int(pair.reviewers[0].split("-")[1]) % 2]
    assert (sum(careful) / len(careful) - sum(careless) / len(careless) > 0.1) == (noise > 0)


def test_no_prompt_that_is_scored_is_trained_on() -> None:
    trained = {prompt.identity for prompt in billing_pairs.training_prompts(SEED)}
    scored = {prompt.identity for prompt in billing_pairs.held_out_prompts(SEED)}
    assert len(scored) > 0.9 * billing_pairs.HELD_OUT
    assert not trained & scored
    assert not scored & {prompt.identity for prompt in billing_pairs.held_out_prompts(SEED + 1)}


def test_edits_mend_what_is_wrong_and_break_what_is_right_when_they_err() -> None:
    for prompt, (wrong, right) in zip(billing_pairs.training_prompts(SEED), answers(), strict=True):
        for dimension in DIMENSIONS:
            for text in (wrong, right):
                assert check(prompt.messages, billing_edits.edited(prompt.messages, text, dimension, errs=False))[dimension] == 1.0
            assert check(prompt.messages, billing_edits.edited(prompt.messages, right, dimension, errs=True))[dimension] == 0.0


def test_chains_of_edits_get_better_step_by_step() -> None:
    chains = list(chain_rows(billing_edits.edits_dataset(answers(), Panel(0.0, SEED))))
    assert len(chains) > 200
    for chain in chains:
        rights = [sum(check(chain["prompt"], text).values()) for text in chain["versions"]]
        assert rights[-1] == 3.0
        assert all(before <= after for before, after in pairwise(rights))
        assert sum(chain["gains"]) == pytest.approx(1.0, abs=1e-3)


def test_the_critic_understands_what_the_product_asks() -> None:
    principle = next(each for each in billing_pairs.RUBRIC.principles if each.name == "be-courteous")
    other = next(each for each in billing_pairs.RUBRIC.principles if each.name == "keep-the-refund-rule")
    prompt = next(prompt for prompt in billing_pairs.training_prompts(SEED) if "joke" in prompt.messages[1]["content"])
    right = right_answer(prompt.messages)
    assert right is not None
    curt = billing_edits.edited(prompt.messages, right, "tone", errs=True)

    def ask(question: list[dict[str, str]], noise: float = 0.0) -> str:
        return scripted_critic.reply(question[-1]["content"], noise, SEED)

    assert ask(critique_question(principle, prompt.messages, curt))
    assert ask(revision_question(principle, prompt.messages, curt, "It is curt.")) == right
    assert ask(revision_question(principle, prompt.messages, right, "It is curt."), noise=1.0) == curt
    assert ask(revision_question(other, prompt.messages, curt, "It is curt.")) == curt  # it heeds the one principle only
    for first, second, better in ((right, curt, "A"), (curt, right, "B"), (right, right, "tie")):
        question = preference_question(billing_pairs.RUBRIC, OVERALL, prompt.messages, first, second)
        assert json.loads(ask(question)) == {"better": better}
        assert json.loads(ask(question, noise=1.0)) == {"better": {"A": "B", "B": "A"}.get(better, "tie")}


def test_differences_are_paired_by_seed() -> None:
    runs = [
        {"method": method, "noise": 0.2, "seed": seed, "reward": level + seed / 10}
        for method, level in (("DPO", 0.1), ("DPO, confidence per pair", 0.2))
        for seed in (1, 2, 3)
    ]
    terms = [(1, "DPO, confidence per pair", 0.2), (-1, "DPO", 0.2)]
    found = optimiser_tables.difference(runs, "reward", terms)
    assert found is not None
    assert (found.seeds, found.mean, found.error) == (3, pytest.approx(0.1), pytest.approx(0.0, abs=1e-12))
    assert found.verdict == "it is higher"
    runs[0]["reward"] += 0.9
    wide = optimiser_tables.difference(runs, "reward", terms)
    assert wide is not None
    assert wide.low < 0 < wide.high
    assert wide.verdict.startswith("not shown")
    assert optimiser_tables.difference(runs[:4], "reward", terms) is None
