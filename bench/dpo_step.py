"""`make bench-dpo`: CPU seconds of a DPO step: ours, a bare loop of torch with the same mathematics, and TRL's trainer.

Prints, and writes bench/results/dpo_step.md and dpo_step.json. One thread, one process, a random model of the demo's size, the same pairs in
batches of the same size for all; contenders take turns. A step is what lies between two ends of steps: batch, forward, backward, clipping,
optimiser, and whatever the trainer does besides. Passes of the reference model that are made ahead are not in it; they are told apart.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from machine import machine  # the script runs from this folder
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trueloop.trainers import dpo, tiny_lm
from trueloop.trainers.frame.policy_model import prepare

from trueloop.demo.billing import REFERENCE, corpus_pair, make_case, write_answer

BATCH, BETA, RATE = 16, 0.1, 2e-4
Times = list[float]
"""CPU seconds of each step but the first, which fills caches."""


def pairs(n: int) -> list[dict[str, Any]]:
    cases = [make_case(index, "bench") for index in range(n)]
    return [{"prompt": list(case.messages), "chosen": write_answer(case, salt="a"), "rejected": write_answer(case, salt="b")} for case in cases]


def steps_of(ends: list[float]) -> Times:
    return [later - earlier for earlier, later in pairwise(ends)]


def ours(base: Path, file: Path, steps: int) -> Times:
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        config = dpo.Config(
            model_dir=base, dataset_file=file, output_dir=Path(folder) / "out", batch_size=BATCH, beta=BETA, learning_rate=RATE, max_steps=steps, threads=1
        )
        dpo.main(config, lambda *_: ends.append(time.process_time()))
    return steps_of(ends)


def trl(base: Path, file: Path, steps: int, **settings: Any) -> Times:
    from datasets import Dataset

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.process_time())

    def chat(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows = [{"prompt": row["prompt"], "chosen": chat(row["chosen"]), "rejected": chat(row["rejected"])} for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        arguments = DPOConfig(
            output_dir=folder, per_device_train_batch_size=BATCH, beta=BETA, learning_rate=RATE, max_steps=steps, max_length=512, save_strategy="no",
            report_to="none", disable_tqdm=True, use_cpu=True, **settings,
        )  # fmt: skip
        trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(base),
            ref_model=None if settings.get("precompute_ref_log_probs") else AutoModelForCausalLM.from_pretrained(base),
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(base),
            callbacks=[Clock()],
        )
        trainer.train()
    return steps_of(ends)


def bare(base: Path, file: Path, steps: int, *, whole: bool) -> Times:
    """A loop by hand over tokenised pairs. `whole` sends every position through the output layer, as the formula is usually written down."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base).train()
    rows = [tokenised(tokenizer, json.loads(line)) for line in file.read_text().splitlines()]
    batches = [rows[start : start + BATCH] for start in range(0, steps * BATCH, BATCH)]
    with torch.no_grad():
        references = [log_probs(model, batch, whole=whole) for batch in batches]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    ends = []
    for batch, reference in zip(batches, references, strict=True):
        ratio = log_probs(model, batch, whole=whole) - reference
        chosen, rejected = ratio.chunk(2)
        loss = -torch.nn.functional.logsigmoid(BETA * (chosen - rejected)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.process_time())
    return steps_of(ends)


def tokenised(tokenizer: Any, row: dict[str, Any]) -> tuple[list[int], list[int], list[int]]:
    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    prompt = ids(tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True))
    return prompt, ids(row["chosen"] + "<|end|>"), ids(row["rejected"] + "<|end|>")


def log_probs(model: Any, batch: list[tuple[list[int], list[int], list[int]]], *, whole: bool) -> torch.Tensor:
    """Padding is on the right, where a causal model cannot see it."""
    sequences = [(prompt, chosen) for prompt, chosen, _ in batch] + [(prompt, rejected) for prompt, _, rejected in batch]
    width = max(len(prompt) + len(completion) for prompt, completion in sequences)
    ids = torch.tensor([prompt + completion + [0] * (width - len(prompt) - len(completion)) for prompt, completion in sequences])
    counted = torch.tensor(
        [[0] * (len(prompt) - 1) + [1] * len(completion) + [0] * (width - len(prompt) - len(completion)) for prompt, completion in sequences]
    ).bool()
    if whole:
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        scores = torch.log_softmax(logits, -1).gather(-1, ids[:, 1:, None])[..., 0]
        return (scores * counted).sum(1)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    scores = -torch.nn.functional.cross_entropy(model.lm_head(hidden[counted]), ids[:, 1:][counted], reduction="none")
    return torch.zeros(counted.shape).masked_scatter(counted, scores).sum(1)


CONTENDERS: dict[str, Callable[[Path, Path, int], Times]] = {
    "bare torch, output layer on completions alone": lambda *where: bare(*where, whole=False),
    "bare torch, output layer on all positions": lambda *where: bare(*where, whole=True),
    "trueloop (trainers/dpo.py)": ours,
    "TRL, float32, no checkpointing, reference ahead": lambda *where: trl(*where, bf16=False, gradient_checkpointing=False, precompute_ref_log_probs=True),
    "TRL as it comes (bf16, checkpointing, reference in each step)": trl,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Times] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        base, file = Path(folder) / "base", Path(folder) / "pairs.jsonl"
        corpus = [(case.messages, answer) for case, answer in (corpus_pair(index, "bench", REFERENCE) for index in range(400))]
        tiny_lm.main(tiny_lm.Config(output_dir=base, steps=1, threads=1), corpus)
        file.write_text("".join(json.dumps(row) + "\n" for row in pairs(options.steps * BATCH)), encoding="utf-8")
        prepare(dpo.Config(model_dir=base, dataset_file=file, output_dir=base, threads=1))
        for _ in range(options.rounds):
            for name, contender in CONTENDERS.items():
                found[name] += contender(base, file, options.steps)
    report(found, options)


def report(found: dict[str, Times], options: argparse.Namespace) -> None:
    least = statistics.median(found[next(iter(CONTENDERS))])
    rows = [
        {"what": name, "steps": len(times), "median_s": statistics.median(times), "least_s": min(times), "ratio": statistics.median(times) / least}
        for name, times in found.items()
    ]
    lines = [
        "# A DPO step on the CPU", "",
        f"CPU seconds of one step of {BATCH} pairs on one thread; a model of the demo's size with random weights; {options.rounds} rounds of "
        f"{options.steps} steps, the first of each left out. The ratio is that of the medians, in one run. Written by `make bench-dpo`.",
        "", f"{machine()}, torch {torch.__version__}", "", "| what | steps | median, s | least, s | ratio |", "| --- | --- | --- | --- | --- |",
        *(f"| {row['what']} | {row['steps']} | {row['median_s']:.3f} | {row['least_s']:.3f} | {row['ratio']:.2f} |" for row in rows),
    ]  # fmt: skip
    print("\n".join(lines))
    results = Path(__file__).parent / "results"
    (results / "dpo_step.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (results / "dpo_step.json").write_text(json.dumps({"machine": machine(), "torch": torch.__version__, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
