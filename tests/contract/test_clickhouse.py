"""The tables are those that the Avro schemas say, the files for operators are those that the generator writes."""

import json
from pathlib import Path

import pytest
from trueloop.schemas import schema_text

from tests.factories import example
from trueloop import topics
from trueloop.adapters.clickhouse import ddl
from trueloop.adapters.clickhouse.columns import arrow_column, arrow_type, columns_of
from trueloop.events.avro import schema_file
from trueloop.topics import Topic

OPERATOR_FILES = Path(__file__).parents[2] / "ops" / "clickhouse"

every_topic = pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)


def avro_fields(topic: Topic) -> list[dict]:
    return json.loads(schema_text(schema_file(topic.event)))["fields"]


def test_operator_files_are_what_the_generator_writes():
    wanted = dict(ddl.operator_files())
    found = {str(path.relative_to(OPERATOR_FILES)): path.read_text(encoding="utf-8") for path in OPERATOR_FILES.rglob("*.sql")}
    assert found == wanted, "run: python -m trueloop.adapters.clickhouse.ddl ops/clickhouse"


@every_topic
def test_columns_are_the_fields_and_the_origin(topic: Topic):
    names = [column.name for column in ddl.table_columns(topic)]
    assert names == [field["name"] for field in avro_fields(topic)] + ["_topic", "_partition", "_offset", "_timestamp"]


@every_topic
def test_a_column_is_nullable_exactly_when_its_field_is(topic: Topic):
    for field, column in zip(avro_fields(topic), columns_of(topic), strict=True):
        nullable = isinstance(field["type"], list)
        if column.type.startswith(("Tuple", "Array")):  # neither can be null: their comments say what stands for it
            assert nullable == ("null is" in column.comment), column
        elif not column.type.startswith("Map"):
            assert nullable == ("Nullable(" in column.type), column


@every_topic
def test_rows_with_the_same_record_key_or_event_id_collapse(topic: Topic):
    order = ddl.order_by(topic)
    assert f"ORDER BY ({', '.join(order)})" in ddl.create_table(topic)
    if topic.cleanup_policy == "compact" and topic.name != "releases":
        event = example(topic.event)
        for name in topic.event.model_fields:
            value = getattr(event, name)
            if type(value) in (str, int):
                changed = event.model_copy(update={name: type(value)(7)})
                assert (topic.key(changed) != topic.key(event)) == (name in order), f"{name} is part of the key or of the order, not of both"
    else:
        assert order == ("application", "event_id")


@every_topic
def test_every_value_of_an_example_travels_as_arrow(topic: Topic):
    record = example(topic.event).model_dump()
    for column in columns_of(topic):
        array = arrow_column(column, [record[column.name]])
        assert array.type == arrow_type(column.avro)
        assert len(array) == 1


def test_tables_remember_insert_tokens():
    for topic in topics.ALL:
        assert "non_replicated_deduplication_window = 1000" in ddl.create_table(topic)


def test_no_table_is_partitioned():
    # An insert is atomic per partition only: with several, a crash could lose the smaller offsets of a batch and keep the largest.
    assert not [name for name, statement in ddl.create_statements().items() if "PARTITION BY" in statement]


def test_every_view_says_what_it_is_for():
    views = ddl.views()
    assert {"v_agreement", "v_drift", "v_gates", "v_pairs", "v_review_queue", "v_dataset_versions", "v_training", "v_releases", "v_dead_letters"} <= set(views)
    for name, statement in views.items():
        assert statement.startswith("-- "), name
        assert f"CREATE OR REPLACE VIEW {name} AS" in statement
        assert "\nCOMMENT '" in statement, name
