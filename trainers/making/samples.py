"""Answers of the model that is trained, to learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trueloop.trainers.frame.job_config import JobConfig
from trueloop.trainers.frame.policy_model import load_causal_model, load_tokenizer
from trueloop.trainers.loaded_model import LoadedModel

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are drawn: `temperature` 1 samples the model as it is."""

    n: int
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int


def load_model(config: JobConfig, directory: Path | None = None) -> LoadedModel:
    """Load the job's base, or the checkpoint in `directory`, to answer with. Raises ConfigurationError without a tokenizer or chat template."""
    import torch

    directory = directory or config.model_dir
    model = load_causal_model(directory, config.models_dir)
    return LoadedModel(model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), load_tokenizer(directory))


def draw(loaded: LoadedModel, prompts: Sequence[Messages], how: Decoding) -> list[list[str]]:
    """Return the answers to each prompt that came to an end and are not blank, at most `n`; none for a prompt that does not fit the context.

    Whoever learns from an answer that was cut at `max_new_tokens` learns not to end.
    """
    from trueloop.trainers.generate import end_ids, generate_ids

    answers: list[list[str]] = [[] for _ in prompts]
    fitting = [index for index, prompt in enumerate(prompts) if loaded.fits(prompt, how.max_new_tokens)]
    drawn = generate_ids(
        loaded.model, loaded.tokenizer, [prompts[index] for index in fitting],
        n=how.n, max_new_tokens=how.max_new_tokens, temperature=how.temperature, top_p=how.top_p, seed=how.seed,
    )  # fmt: skip
    ends = end_ids(loaded.model, loaded.tokenizer)
    for index, rows in zip(fitting, drawn, strict=True):
        texts = loaded.tokenizer.batch_decode([row[:-1] for row in rows if row[-1] in ends], skip_special_tokens=True)
        answers[index] = [text for text in texts if text.strip()]
    return answers
