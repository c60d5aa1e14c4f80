"""The callback that watches a run: tells its steps, ends it on a loss that is not finite or by a rule, and marks the states it saved as whole."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from trueloop.trainers.frame.held_out import HeldOut
from trueloop.trainers.frame.job_config import Progress
from trueloop.trainers.frame.saved_steps import SavedStep, mark_whole
from trueloop.trainers.frame.stopping import Look, Score, stop_reason
from trueloop.trainers.frame.training_errors import NonFiniteLossError

_TOLD = ("loss", "rewards/accuracies", "reward", "kl", "held_out")
"""What progress events carry; the rest stands in the final report."""

_LOOKS = "trueloop_looks.json"


class Watch(TrainerCallback):
    """Of one run. `metrics` holds the last logged value of each number, `stopped_by` the rule that ended the run."""

    def __init__(self, trainer: Any, progress: Progress | None, held_out: HeldOut | None) -> None:
        self.metrics: dict[str, float] = {}
        self.stopped_by: str | None = None
        self.key = ""
        self._trainer = trainer
        self._progress = progress
        self._held_out = held_out
        self._looks: list[Look] = []
        self._tokens_before = 0

    @property
    def tokens(self) -> int:
        """The tokens read since step 0, also those before a kill."""
        return self._tokens_before + int(getattr(self._trainer, "_total_train_tokens", 0) or self.metrics.get("num_tokens", 0))

    def go_on_from(self, saved: SavedStep) -> None:
        """Remember what the run had seen when that state was saved."""
        self._tokens_before = saved.tokens
        for look in json.loads((saved.directory / _LOOKS).read_text(encoding="utf-8")):
            slices = {name: Score(**score) for name, score in look["slices"].items()}
            self._looks.append(Look(look["step"], Score(**look["overall"]), slices))

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """Keep the numbers. Raises NonFiniteLossError."""
        self.metrics = self.metrics | {key: float(value) for key, value in (logs or {}).items() if isinstance(value, int | float)}
        loss = self.metrics.get("loss")
        if loss is not None and not math.isfinite(loss):
            raise NonFiniteLossError(f"loss is {loss!r} at step {state.global_step}; expected a finite number: lower learning_rate ({args.learning_rate})")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at the held-out rows when it is time, and tell the step."""
        if self._held_out is not None and state.global_step % self._held_out.rules.every_steps == 0:
            self._look(self._held_out, state.global_step)
            control.should_training_stop = control.should_training_stop or self.stopped_by is not None
        if self._progress is not None and state.is_world_process_zero:
            self._progress(state.global_step, state.max_steps, {key: self.metrics[key] for key in _TOLD if key in self.metrics})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the state that was just saved, when all processes have written their part of it."""
        self._trainer.accelerator.wait_for_everyone()
        if state.is_world_process_zero:
            directory = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (directory / _LOOKS).write_text(json.dumps([asdict(look) for look in self._looks]), encoding="utf-8")
            mark_whole(directory, self.key, step=state.global_step, tokens=self.tokens)

    def _look(self, held_out: HeldOut, step: int) -> None:
        model = self._trainer.model
        model.eval()
        look = held_out.look(step, model)
        model.train()
        if look is not None:
            self._looks.append(look)
            self.metrics["held_out"] = look.overall.value
            self.stopped_by = stop_reason(self._looks, held_out.rules)
