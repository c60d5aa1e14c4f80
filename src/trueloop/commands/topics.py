"""`trueloop topics`."""

import typer

from trueloop.cli import group
from trueloop.commands.output import JSON_OPTION, print_json, print_table
from trueloop.config import load_settings
from trueloop.topics import physical

app = group(help="Create the topics, or list them.")


@app.command()
def create(as_json: bool = JSON_OPTION) -> None:
    """Create the topics that are missing and register the schemas. Existing topics keep their configuration.

    \b
    Example, before the first start against your own cluster:
      TRUELOOP_KAFKA__REPLICATION_FACTOR=3 trueloop topics create
    """
    from trueloop.adapters.kafka_admin import ensure_topics
    from trueloop.adapters.registry import register_schemas

    settings = load_settings()
    found = ensure_topics(settings.kafka, physical())
    registered = register_schemas(settings.registry)
    if as_json:
        print_json({"created": found.created, "existing": found.existing, "schemas": registered})
    else:
        typer.echo(f"created {len(found.created)} topics, {len(found.existing)} were there; {len(registered)} schemas are registered")


@app.command("ls")
def list_topics(as_json: bool = JSON_OPTION) -> None:
    """List the topics of the broker: partitions, events, and how far each group of readers is behind."""
    from trueloop.adapters.kafka_admin import TopicWatcher

    settings = load_settings()
    prefix = settings.kafka.topic_prefix
    ours = {prefix + topic.name for topic in physical()}
    found = [topic for topic in TopicWatcher(settings.kafka, timeout_s=15.0).observe() if topic.name in ours]
    rows = [(topic.name, topic.partitions, topic.end_offset, ", ".join(f"{name}: {lag}" for name, lag in sorted(topic.lag.items()))) for topic in found]
    if as_json:
        print_json([{"topic": topic.name, "partitions": topic.partitions, "end_offset": topic.end_offset, "lag": topic.lag} for topic in found])
    else:
        print_table(("topic", "partitions", "events", "behind"), rows, "no topics yet; create them with `trueloop topics create`")
