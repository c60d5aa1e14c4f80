"""Parts of the online methods that need no model: advantages, the KL controller, prompts, rewards and their mixture."""

import doctest
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trueloop.trainers import mpo, online_dpo, ppo
from trueloop.trainers.frame.training_errors import DatasetError
from trueloop.trainers.online import assessment, gae, kl_controller, optimiser_steps, prompts, reward_gaps, whitening
from trueloop.trainers.online.assessment import Assessed
from trueloop.trainers.online.evidence import BARREN_STEPS, Evidence
from trueloop.trainers.online.group_settings import GroupSettings
from trueloop.trainers.online.online_dpo_update import best_and_worst
from trueloop.trainers.online.ppo_update import PpoSettings
from trueloop.trainers.online.prompts import Schedule, fitting_prompts, read_prompts
from trueloop.trainers.online.reward_gaps import Split, split_by_gap
from trueloop.trainers.online.samples import Sample
from trueloop.trainers.rewards.check_reward import CheckScore
from trueloop.trainers.rewards.judge_reward import JudgeScore
from trueloop.trainers.rewards.mixture import Mixture
from trueloop.trainers.rewards.open_rewards import open_rewards

from trueloop.adapters.documents import load_rubric
from trueloop.demo.billing import make_case, write_answer
from trueloop.errors import ConfigurationError
from trueloop.judges import Judge, NoJudgement, NoJudgementReason

PLACES = {"model_dir": Path("m"), "dataset_file": Path("d"), "output_dir": Path("o")}
CHECK = {"kind": "check", "name": "billing-support", "dimension": "tone"}


@pytest.mark.parametrize("module", [assessment, gae, kl_controller, optimiser_steps, prompts, reward_gaps, whitening])
def test_the_examples_in_the_docstrings_hold(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def by_definition(rewards: list[float], values: list[float], discount: float, decay: float) -> list[float]:
    """Schulman et al. 2016, equation 16, summed from each step to the end of the episode."""
    after = [*values[1:], 0.0]
    differences = [reward + discount * later - value for reward, later, value in zip(rewards, after, values, strict=True)]
    return [sum((discount * decay) ** (later - now) * differences[later] for later in range(now, len(rewards))) for now in range(len(rewards))]


@given(
    episodes=st.lists(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=7), min_size=1, max_size=4),
    discount=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    decay=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    junk=st.floats(-9, 9),
)
def test_advantages_are_those_of_the_definition(episodes: list[list[tuple[float, float]]], discount: float, decay: float, junk: float) -> None:
    width = max(map(len, episodes))
    # What stands behind an episode must not count.
    rewards, values = np.full((len(episodes), width), junk), np.full((len(episodes), width), junk)
    actions = np.zeros((len(episodes), width), dtype=bool)
    for row, episode in enumerate(episodes):
        rewards[row, : len(episode)], values[row, : len(episode)] = zip(*episode, strict=True)
        actions[row, : len(episode)] = True

    found = gae.advantages(rewards, values, actions, discount=discount, trace_decay=decay)

    for row, episode in enumerate(episodes):
        expected = by_definition([reward for reward, _ in episode], [value for _, value in episode], discount, decay)
        assert found[row, : len(episode)] == pytest.approx(expected, abs=1e-9)
        assert not found[row, len(episode) :].any()


def test_advantages_of_unlike_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        gae.advantages(np.zeros((1, 2)), np.zeros((1, 3)), np.ones((1, 2), dtype=bool))
    with pytest.raises(ValueError, match="discount"):
        gae.advantages(np.zeros((1, 1)), np.zeros((1, 1)), np.ones((1, 1), dtype=bool), discount=1.5)


def test_the_coefficient_follows_the_divergence_and_settles_at_the_target() -> None:
    assert kl_controller.next_coefficient(1.0, 100.0, 6.0) == pytest.approx(1.02), "an error counts as 0.2 at most"
    assert kl_controller.next_coefficient(1.0, 0.0, 6.0) == pytest.approx(0.98)
    assert kl_controller.next_coefficient(1.0, 6.0, 6.0) == 1.0
    coefficient = 5.0
    for _ in range(2000):
        coefficient = kl_controller.next_coefficient(coefficient, 1.2 / coefficient, 6.0)
    assert 1.2 / coefficient == pytest.approx(6.0, rel=0.01)
    with pytest.raises(ValueError, match="target"):
        kl_controller.next_coefficient(1.0, 1.0, 0.0)


def test_an_epoch_has_each_prompt_once_and_each_epoch_its_own_order() -> None:
    schedule = Schedule(prompts=12, per_step=4, seed=1)
    epochs = [[number for step in range(3) for number in schedule.of_step(3 * epoch + step)] for epoch in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(12))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    assert schedule.steps(1.5, None) == 5
    assert schedule.steps(1.5, 2) == 2
    assert Schedule(12, 4, seed=2).of_step(0) != schedule.of_step(0)


def test_each_prompt_of_a_file_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    asked = [[{"role": "user", "content": text}] for text in ("a", "b", "a")]
    path.write_text("".join(json.dumps({"prompt": prompt, "prompt_id": "x"}) + "\n" for prompt in asked))
    assert read_prompts(path) == asked[:2]
    path.write_text('{"prompt": "a"}\n')
    with pytest.raises(DatasetError, match="line 1: 'prompt'"):
        read_prompts(path)


class Letters:
    """A tokenizer whose tokens are letters."""

    def apply_chat_template(self, prompt: Any, **_: Any) -> str:
        if prompt[-1]["role"] != "user":
            raise ValueError(prompt[-1]["content"])
        return str(prompt[-1]["content"])

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        return {"input_ids": list(text)}


def test_prompts_that_do_not_fit_are_left_out() -> None:
    asked = [[{"role": role, "content": text}] for role, text in (("user", "short"), ("user", "much too long"), ("robot", "hm"))]
    assert fitting_prompts(asked, Letters(), 5) == asked[:1]
    for room in (4, 0, -3):
        with pytest.raises(DatasetError, match="none of 3 prompts") as caught:
            fitting_prompts(asked, Letters(), room)
        assert "short" not in str(caught.value)


def test_completions_without_a_reward_are_counted_and_too_many_end_the_job() -> None:
    evidence = Evidence()
    with pytest.raises(DatasetError, match="none of 0"):
        evidence.require()
    evidence.note([1.0, None])
    for _ in range(BARREN_STEPS - 1):
        evidence.note([None, None])
    evidence.note([0.0, None])
    assert (evidence.given, evidence.missing) == (2, 2 * BARREN_STEPS)
    evidence.require()
    for _ in range(BARREN_STEPS - 1):
        evidence.note([None])
    with pytest.raises(DatasetError, match=f"last {BARREN_STEPS} steps"):
        evidence.note([None])


class Fixed:
    """A reward that was told beforehand."""

    def __init__(self, *scores: float | None) -> None:
        self._scores = list(scores)

    def score(self, prompts: Any, completions: Any) -> list[float | None]:
        return self._scores


def mixed(mixture: Mixture, count: int) -> list[float | None]:
    return mixture.score([[]] * count, [""] * count)


def test_a_mixture_is_the_weighted_mean_and_has_no_reward_where_a_part_has_none() -> None:
    mixture = Mixture([(3.0, Fixed(1.0, 0.0, None, 0.4)), (1.0, Fixed(0.0, 1.0, 1.0, None))])
    assert mixed(mixture, 4) == [0.75, 0.25, None, None]
    assert mixed(Mixture([(0.1, Fixed(7.0))]), 1) == [7.0], "weights are normalised"
    for weights in ([], [1.0, 0.0], [math.nan]):
        with pytest.raises(ValueError, match="weight"):
            Mixture([(weight, Fixed()) for weight in weights])


def test_rewards_may_be_whitened_and_cut() -> None:
    whitened = mixed(Mixture([(1.0, Fixed(1.0, None, 3.0, 8.0))], whitened=True), 4)
    known = [score for score in whitened if score is not None]
    assert whitened[1] is None
    assert np.mean(known) == pytest.approx(0)
    assert np.std(known) == pytest.approx(1)
    assert mixed(Mixture([(1.0, Fixed(-9.0, 0.5, None))], clip=2.0), 3) == [-2.0, 0.5, None]
    assert mixed(Mixture([(1.0, Fixed(None, None))], whitened=True), 2) == [None, None]
    assert mixed(Mixture([(1.0, Fixed(0.1, 0.1, 0.1))], whitened=True), 3) == [0.0, 0.0, 0.0], "equal rewards say nothing"


def test_a_check_is_a_reward_where_it_can_judge() -> None:
    def check(messages: Any, completion: str) -> dict[str, float]:
        return {"good": {"tone": 1.0}, "bad": {"tone": 0.0}, "wild": {"tone": 7.0}, "other": {"policy": 1.0}}[completion]

    reward = CheckScore("x", check, "tone")
    assert reward.score([[]] * 5, ["good", "bad", "wild", "other", "raises KeyError"]) == [1.0, 0.0, None, None, None]


class Answers:
    """A chat model that answers in turn."""

    def __init__(self, *answers: str | NoJudgement) -> None:
        self._answers = answers

    def complete(self, conversations: Any, max_new_tokens: int) -> list[str | NoJudgement]:
        return list(self._answers[: len(conversations)])


def test_a_judge_that_says_nothing_gives_no_reward() -> None:
    rubric = load_rubric("billing-support")
    judged = rubric.dimensions[0]
    best, wild = (json.dumps({"score": value}) for value in (judged.scale.max, judged.scale.max + 1))
    judge = Judge("j", Answers(best, "hm", NoJudgement(NoJudgementReason.TIMEOUT), wild), "x")
    found = JudgeScore(judge, rubric, judged.name).score([[{"role": "user", "content": "?"}]] * 4, ["a", "b", "c", "d"])
    assert found == [1.0, None, None, None]


def test_rewards_are_opened_from_settings() -> None:
    case = make_case(1, "x")
    reward = open_rewards(ppo.Config(**PLACES, rewards=[CHECK]))
    assert reward.score([case.messages] * 2, [write_answer(case, salt="a"), "Read your bill."]) == [1.0, 0.0]
    assert reward.score([[{"role": "user", "content": "Hi"}]], ["Thank you."]) == [None]


@pytest.mark.parametrize(
    ("rewards", "says"),
    [
        ([], "at least 1 item"),
        ([{"kind": "check", "name": "billing-support"}], "dimension"),
        ([{"kind": "model", "uri": "https://example.com/model"}], "pattern"),
        ([{"kind": "model", "uri": "models://../../etc"}], "pattern"),
        ([CHECK | {"weight": 0}], "greater than 0"),
        ([CHECK | {"url": "https://example.com"}], "url"),
        ([{"kind": "webhook", "url": "https://example.com"}], "webhook"),
    ],
)
def test_wrong_rewards_are_named(rewards: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ppo.Config(**PLACES, rewards=rewards)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (CHECK | {"name": "absent"}, "no check 'absent'"),
        ({"kind": "model", "uri": "models://" + "0" * 32}, "models_dir is not set"),
        ({"kind": "judge", "name": "absent", "dimension": "tone"}, "no judge 'absent'"),
    ],
)
def test_a_reward_that_is_not_here_is_named(setting: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        open_rewards(ppo.Config(**PLACES, rewards=[setting]))


@pytest.mark.parametrize(
    ("settings", "changes", "says"),
    [
        (PpoSettings, {"max_new_tokens": 512}, "no room for a prompt"),
        (GroupSettings, {"batch_size": 12}, "no multiple of completions_per_prompt 8"),
        (GroupSettings, {"beta": 0, "kl_budget": 3}, "beta is 0"),
        (PpoSettings, {"clip": 1.0}, "clip"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: Any, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        settings(**(PLACES | changes))


def assessed(prompt: int, score: float) -> Assessed:
    sample = Sample([{"role": "user", "content": str(prompt)}], [prompt], [1, 2], ended=True, text="")
    return Assessed(sample, score, np.array([-1.0, -2.0]), np.array([-1.5, -2.0]), np.zeros(2), np.zeros(2))


def test_the_best_and_the_worst_are_a_pair_and_a_tie_is_none() -> None:
    items = [assessed(1, 0.2), assessed(2, 1.0), assessed(1, 0.9), assessed(2, 1.0), assessed(1, 0.1), assessed(3, 0.5)]
    assert [(best.score, worst.score) for best, worst in best_and_worst(items)] == [(0.9, 0.1)]
    assert items[0].divergence == 0.5


def test_pairs_are_split_by_a_gap_whose_sign_counts() -> None:
    assert split_by_gap([3.0, -9.0, 1.0, 1.0], 1.0, 0.5) == Split((0,), (1, 2, 3), 1.0)
    by_share = split_by_gap([float(gap) for gap in range(10)], None, 0.3)
    assert by_share.hard == (0, 1, 2)
    assert by_share.easy == tuple(range(3, 10))
    assert split_by_gap([1.0, 2.0], None, 0.01).hard == ()
    assert split_by_gap([1.0, 1.0], None, 0.5).easy == (), "equal gaps cannot be told apart"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"second_stage": {"clip": 7}}, "clip"),
        ({"dpo_stage": {"output_dir": "/etc"}}, "only the worker sets"),
        ({"reward_stage": {"objective": ""}}, "objective"),
        ({"second": "rloo", "batch_size": 6}, "no multiple of completions_per_prompt 4"),
        ({"reward_model": "models://" + "0" * 32, "reward_stage": {"epochs": 2}}, "expected one"),
        ({"reward_model": "https://example.com"}, "pattern"),
        ({"second": "grpo"}, "'ppo' or 'rloo'"),
    ],
)
def test_wrong_stages_of_mpo_are_refused_before_any_training(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mpo.Config(**(PLACES | changes))


@pytest.mark.parametrize("module", [ppo, online_dpo, mpo])
def test_several_processes_are_refused(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    rewards = {} if module is mpo else {"rewards": [CHECK]}
    with pytest.raises(ConfigurationError, match="process"):
        module.main(module.Config(**(PLACES | rewards)))
