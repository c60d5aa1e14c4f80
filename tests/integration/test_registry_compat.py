"""The real registry takes every version of a schema that was released, then today's, and refuses what would break a replay."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastavro.schema import to_parsing_canonical_form
from trueloop.schemas import schema_text

from tests.contract.golden import Recorded, recorded
from tests.factories import examples
from trueloop import topics
from trueloop.adapters.registry import ConfluentRegistry
from trueloop.codec import Codec
from trueloop.config import RegistrySettings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.errors import ConfigurationError, DecodeError
from trueloop.events.avro import schema_file
from trueloop.rejection import RejectReason

BY_TOPIC: dict[str, list[Recorded]] = {}
for old in recorded():
    BY_TOPIC.setdefault(old.topic.name, []).append(old)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfluentRegistry]:
    with EmbeddedRuntime(tmp_path_factory.mktemp("state")) as runtime:
        yield ConfluentRegistry(RegistrySettings(url=runtime.endpoints.registry))


def breaking(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Changes that would leave some reader of some version without an answer."""
    first, *rest = schema["fields"]
    return [
        schema | {"fields": [*schema["fields"], {"name": "mandatory", "type": "string"}]},
        schema | {"fields": rest},
        schema | {"fields": [first | {"type": "long"}, *rest]},
    ]


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_releases_then_today_are_taken_and_breaking_changes_are_not(registry: ConfluentRegistry, topic: topics.Topic) -> None:
    today = schema_text(schema_file(topic.event))
    ids = [registry.register(topic.subject, text) for text in (*(old.schema for old in BY_TOPIC[topic.name]), today)]
    assert registry.register(topic.subject, today) == ids[-1]
    # The registry drops namespaces that are inherited anyway, so texts are compared in Avro's canonical form.
    assert to_parsing_canonical_form(json.loads(registry.schema(ids[-1]))) == to_parsing_canonical_form(json.loads(today))
    for change in breaking(json.loads(today)):
        with pytest.raises(ConfigurationError, match=topic.subject):
            registry.register(topic.subject, json.dumps(change))


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_events_pass_through_the_real_registry(registry: ConfluentRegistry, topic: topics.Topic) -> None:
    writer, reader = Codec(registry), Codec(registry)
    for event in examples(topic.event):
        assert reader.decode(topic, writer.encode(topic, event)) == event


def test_an_id_that_the_registry_never_gave_is_unknown(registry: ConfluentRegistry) -> None:
    with pytest.raises(DecodeError) as refused:
        Codec(registry).decode(topics.TRACES, b"\x00\x00\x0f\x42\x3f")
    assert refused.value.reason is RejectReason.UNKNOWN_SCHEMA
