"""Answers of checkpoints to the calibration prompts, remembered on disk: a baseline answers each prompt once, however many candidates it meets."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trueloop.rubrics import canonical_json
from trueloop.rubrics.gate_policy import Decoding

if TYPE_CHECKING:
    from trueloop.trainers.loaded_model import LoadedModel

_FORMAT = 1
CHUNK = 512
"""Prompts between two signs of life."""

Prompts = Mapping[str, Sequence[Mapping[str, str]]]


class AnswerFile:
    """Answers of one checkpoint under one decoding, by a key of the prompt."""

    def __init__(self, models: Path, checkpoint: str, decoding: Decoding) -> None:
        # Another version of the libraries may decode otherwise, and both sides must be decoded alike.
        how = {
            "format": _FORMAT,
            "decoding": decoding.model_dump(mode="json"),
            "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
        }
        name = hashlib.sha256(canonical_json({"checkpoint": checkpoint, **how}).encode()).hexdigest()[:32]
        self._path = models / "answers" / f"{name}.json"

    def read(self) -> dict[str, str]:
        """Return the answers by key of the prompt; none when there is no file, or it is damaged."""
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return {str(key): str(answer) for key, answer in content.items()} if isinstance(content, dict) else {}

    def write(self, answers: Mapping[str, str]) -> None:
        """Replace the file: answers that are not given are forgotten, so that those to erased prompts do not stay."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._path.with_suffix(f".{os.getpid()}.new")
        temporary.write_text(json.dumps(dict(answers), ensure_ascii=False), encoding="utf-8")
        temporary.rename(self._path)


def answer(load: Callable[[], "LoadedModel"], file: AnswerFile, prompts: Prompts, decoding: Decoding, alive: Callable[[], None]) -> dict[str, str]:
    """Return the answer to each prompt that the model can take, by item; prompts that do not fit its context are left out.

    Args:
        load: Gives the model; called only when an answer is missing.
        file: Where answers are remembered.
        prompts: Messages by item.
        decoding: How to decode.
        alive: Called after every chunk of prompts.
    """
    keys = {item: hashlib.sha256(canonical_json(list(map(dict, messages))).encode()).hexdigest() for item, messages in prompts.items()}
    known = file.read()
    missing = {keys[item]: prompts[item] for item in prompts if keys[item] not in known}
    if missing:
        fresh = _generate(load(), missing, decoding, alive)
        # A null in the file would be read as text: prompts that do not fit are simply asked for again, which costs one tokenisation.
        known = known | fresh
    if missing or len(known) > len(keys):
        used = set(keys.values())
        file.write({key: text for key, text in known.items() if key in used})
    return {item: known[key] for item, key in keys.items() if key in known}


def _generate(loaded: "LoadedModel", missing: Prompts, decoding: Decoding, alive: Callable[[], None]) -> dict[str, str]:
    from trueloop.trainers.generate import generate

    fitting = [key for key, messages in missing.items() if loaded.fits(messages, decoding.max_new_tokens)]
    answers: dict[str, str] = {}
    settings: dict[str, Any] = decoding.model_dump()
    # Prompts of like length side by side: padding is wasted work, and a chunk is a batch's neighbourhood.
    fitting.sort(key=lambda key: sum(len(message["content"]) for message in missing[key]))
    for start in range(0, len(fitting), CHUNK):
        chunk = fitting[start : start + CHUNK]
        completions = generate(loaded.model, loaded.tokenizer, [list(missing[key]) for key in chunk], n=1, **settings)
        answers.update(zip(chunk, (given[0] for given in completions), strict=True))
        alive()
    return answers
