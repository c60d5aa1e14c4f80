"""What the codec asks of the registry, and when. What it makes of bytes is held in tests/contract."""

import pickle

import pytest

from tests.factories import example
from trueloop import topics
from trueloop.codec import Codec
from trueloop.errors import DecodeError, TrueloopError, UnavailableError, UnknownSchemaError
from trueloop.events import Erasure, Label, Release, Trace
from trueloop.rejection import RejectReason
from trueloop.testing import MemoryRegistry
from trueloop.writer_schema import parse_writer_schema


class CountingRegistry(MemoryRegistry):
    """Counts what it is asked, and can be made to stop answering."""

    def __init__(self) -> None:
        super().__init__()
        self.registered: list[str] = []
        self.looked_up: list[int] = []
        self.away = False

    def register(self, subject: str, schema: str) -> int:
        self.registered.append(subject)
        if self.away:
            raise UnavailableError("no answer")
        return super().register(subject, schema)

    def schema(self, schema_id: int) -> str:
        self.looked_up.append(schema_id)
        return super().schema(schema_id)


def test_wire_format_is_magic_zero_and_the_id_big_endian() -> None:
    registry = MemoryRegistry()
    for number in range(258):
        registry.register("other", f'"filler {number}"')
    assert Codec(registry).encode(topics.RELEASES, example(Release))[:5] == b"\x00\x00\x00\x01\x03"


def test_a_schema_is_registered_and_looked_up_once() -> None:
    registry = CountingRegistry()
    codec = Codec(registry)
    for _ in range(3):
        codec.decode(topics.RELEASES, codec.encode(topics.RELEASES, example(Release)))
    assert registry.registered == ["releases-value"]
    assert registry.looked_up == [1]


def test_a_registration_that_failed_is_tried_again() -> None:
    registry = CountingRegistry()
    codec = Codec(registry)
    registry.away = True
    with pytest.raises(UnavailableError):
        codec.encode(topics.RELEASES, example(Release))
    registry.away = False
    assert codec.encode(topics.RELEASES, example(Release))
    assert registry.registered == ["releases-value", "releases-value"]


def test_an_unknown_id_is_not_remembered_as_unknown() -> None:
    registry = CountingRegistry()
    codec = Codec(registry)
    for _ in range(2):
        with pytest.raises(UnknownSchemaError) as unknown:
            codec.decode(topics.RELEASES, b"\x00\x00\x00\x00\x07rest")
        assert unknown.value.reason is RejectReason.UNKNOWN_SCHEMA
    assert registry.looked_up == [7, 7]


def test_a_topic_refuses_the_event_of_another_and_a_subclass_of_its_own() -> None:
    class Special(Trace):
        """Has fields that the schema lacks."""

    codec = Codec(MemoryRegistry())
    with pytest.raises(TypeError, match="topic 'traces' takes Trace, not Label"):
        codec.encode(topics.TRACES, example(Label))
    with pytest.raises(TypeError, match="not Special"):
        codec.encode(topics.TRACES, Special(**example(Trace).model_dump()))


def test_a_record_without_validation_is_a_plain_dictionary() -> None:
    codec = Codec(MemoryRegistry())
    event = example(Erasure)
    record = codec.decode_record(topics.ERASURES, codec.encode(topics.ERASURES, event))
    assert type(record) is dict
    assert record == event.model_dump()


def test_text_that_utf8_cannot_hold_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        Codec(MemoryRegistry()).encode(topics.TRACES, example(Trace, completion="half a pair: \ud83d"))


@pytest.mark.parametrize("error", [DecodeError(RejectReason.WRONG_MAGIC, "magic byte 1"), UnknownSchemaError(7)])
def test_errors_survive_a_process_boundary(error: DecodeError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.reason, str(copy)) == (error.reason, str(error))
    assert isinstance(copy, TrueloopError)
    assert isinstance(copy, ValueError)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("5", "not an Avro schema"),
        ('{"type": "record", "name": "a.N", "fields": [{"name": "n", "type": ["null", "N"]}]}', "contains itself"),
        ('{"type": "array", "items": {"type": "record", "name": "E", "fields": []}}', "take no bytes"),
        ('{"type": "record", "name": "E", "fields": [{"name": "n", "type": "null"}]}', "takes no bytes"),
    ],
)
def test_a_schema_that_could_do_harm_is_refused_without_being_quoted(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as refused:
        parse_writer_schema(text)
    assert '"' not in str(refused.value)


def test_a_record_used_twice_side_by_side_is_no_recursion() -> None:
    point = '{"type": "record", "name": "P", "fields": [{"name": "x", "type": "long"}]}'
    text = '{"type": "record", "name": "L", "fields": [{"name": "a", "type": %s}, {"name": "b", "type": {"type": "array", "items": "P"}}]}'
    assert parse_writer_schema(text % point)["name"] == "L"
