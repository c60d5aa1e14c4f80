"""Every event type survives its way through Avro, with any content that its model takes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.avro_values import variations
from tests.contract.test_compiled_writing import by_fastavro
from tests.factories import examples
from trueloop import topics
from trueloop.codec import Codec
from trueloop.testing import MemoryRegistry
from trueloop.topics import Topic

EVERY_TOPIC = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
CODEC = Codec(MemoryRegistry())


@EVERY_TOPIC
def test_the_examples_come_back_equal(topic: Topic) -> None:
    for event in examples(topic.event):
        assert CODEC.decode(topic, CODEC.encode(topic, event)) == event


@EVERY_TOPIC
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example])
@given(data=st.data())
def test_whatever_the_model_takes_comes_back_equal(topic: Topic, data: st.DataObject) -> None:
    event = data.draw(variations(topic.event))
    read = CODEC.decode(topic, CODEC.encode(topic, event))
    assert read == event
    assert type(read) is topic.event
    assert CODEC.encode(topic, read) == CODEC.encode(topic, event) == by_fastavro(topic, event, CODEC)


@EVERY_TOPIC
def test_a_topic_takes_only_its_own_event(topic: Topic) -> None:
    other = topics.RELEASES if topic is not topics.RELEASES else topics.TRACES
    with pytest.raises(TypeError, match=topic.name):
        CODEC.encode(topic, examples(other.event)[0])
