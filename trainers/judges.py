"""Judges by the names that the worker's settings give them."""

from pathlib import Path
from typing import Protocol

from trueloop.trainers.loaded_model import LoadedModel
from trueloop.trainers.local_judge import LocalChat

from trueloop.adapters.chat_endpoint import ChatEndpoint
from trueloop.adapters.model_store import ModelStore
from trueloop.config import JudgeSettings
from trueloop.errors import ConfigurationError
from trueloop.judges import Judge
from trueloop.rubrics import canonical_json


class JudgeSource(Protocol):
    """What names judges: the settings of a process, or a job's config, into which the worker puts them."""

    @property
    def judges(self) -> dict[str, JudgeSettings]:
        """Judges by name."""
        ...

    @property
    def models(self) -> Path | None:
        """Root of the model store."""
        ...


def open_judge(settings: JudgeSource, name: str) -> Judge:
    """Return the judge of that name. Raises ConfigurationError when the settings have none, or its key is not there.

    A checkpoint is verified and loaded at the first question, which raises ConfigurationError or IntegrityError when it is not as it was stored.
    """
    found = settings.judges.get(name)
    if found is None:
        known = ", ".join(sorted(settings.judges)) or "none"
        raise ConfigurationError(f"no judge {name!r} in the settings of this worker; judges: {known}. Add [judges.{name}] to trueloop.toml")
    if found.url is not None:
        endpoint = ChatEndpoint(name, found)
        return Judge(name, endpoint, endpoint.identity, found.max_new_tokens)
    return _local(settings, name, found)


def _local(settings: JudgeSource, name: str, found: JudgeSettings) -> Judge:
    if settings.models is None:
        raise ConfigurationError(f"judge {name!r} is checkpoint {found.model!r}, and no model store is set; expected models_dir in the settings of the worker")
    store = ModelStore(settings.models)

    def load() -> LoadedModel:
        return LoadedModel.load(store.resolve(found.model), store.root)

    temperature = found.temperature or 0.0
    return Judge(name, LocalChat(load, temperature), canonical_json({"model": found.model, "temperature": temperature}), found.max_new_tokens)
