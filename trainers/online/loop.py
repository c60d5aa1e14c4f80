"""An online job: sample, score, learn, and again."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trueloop.trainers.frame.finished_checkpoint import report, write_model
from trueloop.trainers.frame.job_config import Progress, write_config
from trueloop.trainers.frame.policy_model import Policy, computes_in_bf16, load_policy, prepare
from trueloop.trainers.frame.stopping import over_kl_budget
from trueloop.trainers.frame.training_errors import NonFiniteLossError, named_faults
from trueloop.trainers.frame.training_report import TrainingReport
from trueloop.trainers.online.assessment import Assessed, assess
from trueloop.trainers.online.evidence import Evidence
from trueloop.trainers.online.loop_state import LoopState, load_loop, save_loop
from trueloop.trainers.online.optimiser_steps import rate_factor, set_rate
from trueloop.trainers.online.policy_pass import Reference, reference_of, still
from trueloop.trainers.online.prompts import Prompt, Schedule, fitting_prompts, hash_of, read_prompts
from trueloop.trainers.online.samples import Sample, sample
from trueloop.trainers.online.settings import OnlineConfig
from trueloop.trainers.rewards.reward import Reward

from trueloop.errors import ConfigurationError

_SAMPLED_AT_ONCE = 256


class Learner(Protocol):
    """What learns from the completions of a step."""

    state: LoopState
    head: Any
    """Gives the value of a state; None where no values are needed."""
    coefficient: float
    """Of the KL penalty; kept with the state."""

    def learn(self, step: int, items: Sequence[Assessed]) -> dict[str, float]:
        """Make the optimiser steps of one step and return its numbers."""


@dataclass(frozen=True, slots=True)
class Device:
    """A policy with its adapter, ready to be trained where it is, and its padding token."""

    model: Any
    pad_id: int
    bf16: bool


def require_one_process() -> None:
    """Raise ConfigurationError under `accelerate launch` with several processes: each would train a policy of its own."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise ConfigurationError(
            f"this method runs in one process and was started in {processes}; expected one: start it without `accelerate launch`, or train by 'grpo' or 'rloo'"
        )


def place(policy: Policy, config: OnlineConfig) -> Device:
    """Put the policy on the best device, without dropout."""
    import torch

    torch.manual_seed(config.seed)  # what a LoRA starts from is random
    model = policy.trainable()
    if config.adapter != "qlora":  # a model in 4 bits is where it was loaded
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    still(model)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return Device(model, policy.tokenizer.pad_token_id, computes_in_bf16(config))


def train_in_loop(
    config: OnlineConfig, reward: Reward, make_learner: Callable[[Device], Learner], *, completions: int, progress: Progress | None, started: float
) -> TrainingReport:
    """Train on the prompts of `config.dataset_file`, with `completions` sampled in each step, and save the policy. Raises as `ppo.main` does."""
    require_one_process()
    prompts = read_prompts(config.dataset_file)
    prepare(config)
    policy = load_policy(config)
    device = place(policy, config)
    return Loop(config, policy, device, make_learner(device), reward, completions=completions).run(prompts, progress, started)


class Loop:
    """One job. Single-process: one GPU, or the CPU."""

    def __init__(self, config: OnlineConfig, policy: Policy, device: Device, learner: Learner, reward: Reward, *, completions: int) -> None:
        """`completions` are sampled in a step."""
        self._config = config
        self._tokenizer = policy.tokenizer
        self._device = device
        self._learner = learner
        self._reward = reward
        self._completions = completions
        self._evidence = Evidence()
        self._tokens = 0
        self._newest: dict[str, float] = {}

    def run(self, prompts: Sequence[Prompt], progress: Progress | None, started: float) -> TrainingReport:
        """Train, write the checkpoint to `config.output_dir`, and return the report.

        Raises:
            DatasetError: no prompt fits, or completions have no reward.
            NonFiniteLossError: training diverged.
            DeviceMemoryError, DiskFullError: as they say.
        """
        config = self._config
        fitting = fitting_prompts(prompts, self._tokenizer, min(config.max_length_tokens, self._context()) - config.max_new_tokens)
        schedule = Schedule(len(fitting), max(1, self._completions // config.completions_per_prompt), config.seed)
        with named_faults(config.batch_size):
            stopped_by, resumed = self._steps(fitting, schedule, progress)
            self._evidence.require()
            self._write()
        numbers = self._newest | {
            "prompts": float(len(fitting)),
            "prompts_left_out": float(len(prompts) - len(fitting)),
            "completions_without_reward": float(self._evidence.missing),
        }
        if resumed:
            numbers["resumed_from_step"] = float(resumed)
        return report(config, numbers, started, tokens=self._tokens, stopped_by=stopped_by)

    def _steps(self, prompts: Sequence[Prompt], schedule: Schedule, progress: Progress | None) -> tuple[str | None, int]:
        config, learner = self._config, self._learner
        reference = reference_of(self._device.model)
        begin = self._resume()
        total = schedule.steps(config.epochs, config.max_steps)
        for step in range(begin, total):
            samples = self._sample([prompts[number] for number in schedule.of_step(step)], step)
            items, numbers = self._assess(samples, reference)
            stopped_by = over_kl_budget(numbers.get("kl", 0.0), config.kl_budget)
            if stopped_by is not None:
                self._newest |= numbers
                return stopped_by, begin
            if items:
                set_rate(learner.state.optimizer, rate_factor(step, total, config.warmup_share))
                numbers |= learner.learn(step, items)
            self._newest |= numbers
            if progress is not None:
                progress(step + 1, total, dict(self._newest))
            if (step + 1) % config.checkpoint_every_steps == 0:
                self._save(step + 1)
        return None, begin

    def _sample(self, prompts: Sequence[Prompt], step: int) -> list[Sample]:
        config = self._config
        return sample(
            self._device.model,
            self._tokenizer,
            prompts,
            copies=config.completions_per_prompt,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=hash_of(config.seed, "samples", step),
            batch_rows=min(_SAMPLED_AT_ONCE, max(config.batch_size, config.completions_per_prompt)),
        )

    def _assess(self, samples: Sequence[Sample], reference: Reference) -> tuple[list[Assessed], dict[str, float]]:
        """Return the completions that have a reward, and numbers of the step."""
        scores = self._reward.score([item.prompt for item in samples], [item.text for item in samples])
        self._evidence.note(scores)
        self._tokens += sum(item.tokens for item in samples)
        known = [(item, score) for item, score in zip(samples, scores, strict=True) if score is not None]
        items = assess(
            [item for item, _ in known],
            [score for _, score in known],
            self._device.model,
            reference,
            self._learner.head,
            pad_id=self._device.pad_id,
            rows=self._config.batch_size,
            temperature=self._config.temperature,
            bf16=self._device.bf16,
        )
        if not items:
            return [], {}
        tokens = sum(len(item.values) for item in items)
        return items, {
            "reward": sum(item.score for item in items) / len(items),
            "kl": sum(item.divergence for item in items) / len(items),
            "entropy": sum(float(item.entropy.sum()) for item in items) / tokens,
            "completion_tokens": tokens / len(items),
            "ended_share": sum(item.sample.ended for item in items) / len(items),
        }

    def _context(self) -> int:
        return int(getattr(self._device.model.config, "max_position_embeddings", None) or 1 << 20)

    def _resume(self) -> int:
        begin, numbers = load_loop(self._config, self._learner.state)
        if begin:
            self._learner.coefficient = numbers.pop("coefficient")
            self._tokens = int(numbers.pop("tokens"))
            self._evidence = Evidence(int(numbers.pop("given")), int(numbers.pop("missing")))
            self._newest = numbers
        return begin

    def _save(self, step: int) -> None:
        kept = {"coefficient": self._learner.coefficient, "tokens": self._tokens, "given": self._evidence.given, "missing": self._evidence.missing}
        save_loop(self._config, self._learner.state, step, self._newest | kept)

    def _write(self) -> None:
        import torch

        config, model = self._config, self._device.model
        if not all(bool(torch.isfinite(weights).all()) for weights in self._learner.state.parameters.values()):
            raise NonFiniteLossError(f"a weight is not finite after training; expected finite numbers: lower learning_rate ({config.learning_rate})")
        config.output_dir.mkdir(parents=True, exist_ok=True)
        write_model(model, config)
        self._tokenizer.save_pretrained(config.output_dir)
        write_config(config, config.output_dir)
