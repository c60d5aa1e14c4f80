"""GRPO and RLOO by TRL's trainers: what we give them, and what we keep them from doing."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trueloop.trainers.frame.finished_checkpoint import finish
from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.policy_model import load_policy, prepare
from trueloop.trainers.frame.stopping import over_kl_budget
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.frame.training_run import run, state_directory, trainer_arguments
from trueloop.trainers.online.evidence import Evidence
from trueloop.trainers.online.group_settings import GroupSettings
from trueloop.trainers.online.prompts import fitting_prompts, read_prompts
from trueloop.trainers.rewards.reward import Reward

from trueloop.adapters.adapter_checkpoint import is_adapter
from trueloop.errors import ConfigurationError

MakeTrainer = Callable[[dict[str, Any], dict[str, Any]], Any]
"""From the arguments of the trainer's config, and of the trainer itself, to the trainer."""


def train_in_groups(config: GroupSettings, reward: Reward, make_trainer: MakeTrainer, progress: Progress | None, started: float) -> TrainingReport:
    """Train on the prompts and save the policy to `config.output_dir`. Raises as `ppo.main` does."""
    prompts = read_prompts(config.dataset_file)
    prepare(config)
    if config.beta > 0 and config.adapter == "full" and is_adapter(config.model_dir):
        # TRL loads the reference from where the policy's weights came from, which is the adapter's base.
        raise ConfigurationError(f"checkpoint {config.model_dir.name!r} is an adapter, and all weights are trained; expected whole weights: store it merged")
    from datasets import Dataset

    policy = load_policy(config)
    context = int(getattr(policy.model.config, "max_position_embeddings", None) or 1 << 20)
    fitting = fitting_prompts(prompts, policy.tokenizer, min(config.max_length_tokens, context) - config.max_new_tokens)
    evidence = Evidence()
    with state_directory(config) as states:
        parts = {
            "model": policy.model,
            "reward_funcs": _reward_function(reward, evidence),
            "train_dataset": Dataset.from_list([{"prompt": prompt} for prompt in fitting]),
            "processing_class": policy.tokenizer,
            "peft_config": policy.adapter,
        }
        trainer = make_trainer(_arguments(config, trainer_arguments(config, states)), parts)
        _keep_texts_out_of_the_log(trainer)
        budget = _kl_budget(config.kl_budget)
        trainer.add_callback(budget)
        outcome = run(trainer, config, progress)
    evidence.require()
    counts = {
        "prompts": float(len(fitting)),
        "prompts_left_out": float(len(prompts) - len(fitting)),
        "completions_without_reward": float(evidence.missing),
    }
    return finish(trainer, policy.tokenizer, config, replace(outcome, stopped_by=outcome.stopped_by or budget.stopped_by), metrics=counts, started=started)


def _arguments(config: GroupSettings, arguments: dict[str, Any]) -> dict[str, Any]:
    del arguments["max_length"]  # a matter of the prompts, which were chosen to fit
    return arguments | {
        "num_generations": config.completions_per_prompt,
        "max_completion_length": config.max_new_tokens,
        "temperature": config.temperature,
        "beta": config.beta,
        "epsilon": config.clip,
        "num_iterations": config.passes,
        "disable_dropout": True,
        "logging_steps": 1,  # rewards move from step to step
    }


def _reward_function(reward: Reward, evidence: Evidence) -> Callable[..., list[float | None]]:
    """Rewards as TRL asks for them. A None it leaves out of the group's mean, and gives it no advantage."""

    def rewards(prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float | None]:
        scores = reward.score(prompts, [completion[0]["content"] for completion in completions])
        evidence.note(scores)
        return scores

    return rewards


def _keep_texts_out_of_the_log(trainer: Any) -> None:
    """TRL writes prompt and completion of one without a reward into its log; we count them instead."""

    def harmless(record: logging.LogRecord) -> bool:
        return "All reward functions returned None" not in str(record.msg)

    logging.getLogger(type(trainer).__module__).addFilter(harmless)


def _kl_budget(budget: float | None) -> Any:
    from transformers import TrainerCallback

    class KlBudget(TrainerCallback):
        """Ends the run when completions have diverged too far. TRL tells the mean per token, the budget is per completion."""

        stopped_by: str | None = None

        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
            if logs is None or "kl" not in logs:
                return
            divergence = float(logs["kl"]) * float(logs.get("completions/mean_length", math.nan))
            self.stopped_by = self.stopped_by or over_kl_budget(divergence, budget)
            control.should_training_stop = control.should_training_stop or self.stopped_by is not None

    return KlBudget()
