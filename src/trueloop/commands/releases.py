"""`trueloop release`."""

from datetime import UTC, datetime

import typer

from trueloop.adapters.model_store import SCHEME, ModelStore, StoredCheckpoint
from trueloop.cli import group
from trueloop.commands.output import JSON_OPTION, print_json, print_table
from trueloop.config import Settings, load_settings
from trueloop.events import Release, ReleaseReason, derive_id
from trueloop.topics import RELEASES

app = group(help="Which checkpoint serves. The gate releases what passes; these commands are for people: look, roll back, overrule.")


@app.command("ls")
def list_releases(as_json: bool = JSON_OPTION) -> None:
    """List what serves each application."""
    releases = sorted(_releases(load_settings()), key=lambda release: release.application)
    if as_json:
        print_json([release.model_dump(mode="json") for release in releases])
        return
    rows = [
        (release.application, release.checkpoint, release.reason.value, release.previous, release.gate_id, f"{release.occurred_at:%Y-%m-%d %H:%M:%S}")
        for release in releases
    ]
    print_table(("application", "checkpoint", "reason", "before", "gate", "since (UTC)"), rows, "nothing is released; see `trueloop model register --help`")


@app.command("set")
def set_release(
    checkpoint: str = typer.Argument(..., metavar="CHECKPOINT", help="Id of a checkpoint in the model store, or 'previous' to roll back."),
    application: str = typer.Option(..., "--application", "-a", help="The application that it is to serve."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Let a checkpoint serve from now on. It is verified in the store first.

    \b
    Examples:
      trueloop release set previous --application billing-support
      trueloop release set 0123456789abcdef0123456789abcdef -a billing-support
    """
    from trueloop.errors import ConfigurationError

    settings = load_settings()
    reason = ReleaseReason.MANUAL
    if checkpoint == "previous":
        serving = serving_release(settings, application)
        if serving is None or serving.previous is None:
            raise ConfigurationError(f"application {application!r} has no previous release to roll back to; give the id of a checkpoint")
        checkpoint, reason = serving.previous, ReleaseReason.ROLLBACK
    store = ModelStore(settings.models)
    uri = SCHEME + checkpoint.removeprefix(SCHEME)
    store.resolve(uri)
    release = publish_release(settings, application, store.checkpoint(uri), reason)
    if as_json:
        print_json(release.model_dump(mode="json"))
    else:
        typer.echo(f"{release.checkpoint} serves {application!r} from now on; before: {release.previous or 'nothing'}")


def publish_release(settings: Settings, application: str, stored: StoredCheckpoint, reason: ReleaseReason = ReleaseReason.INITIAL) -> Release:
    """Publish that a checkpoint serves. One that serves already is left as it is.

    INITIAL becomes MANUAL when something served before. Raises UnavailableError.
    """
    from trueloop.adapters.kafka import Publisher
    from trueloop.adapters.registry import connect

    serving = serving_release(settings, application)
    if serving is not None and serving.checkpoint == stored.checkpoint:
        return serving
    now = datetime.now(UTC)
    release = Release(
        event_id=derive_id("release", application, stored.checkpoint, now.isoformat()),
        occurred_at=now,
        application=application,
        checkpoint=stored.checkpoint,
        checkpoint_uri=stored.uri,
        checkpoint_sha256=stored.sha256,
        previous=serving.checkpoint if serving else None,
        previous_uri=serving.checkpoint_uri if serving else None,
        previous_sha256=serving.checkpoint_sha256 if serving else None,
        reason=ReleaseReason.MANUAL if serving and reason is ReleaseReason.INITIAL else reason,
    )
    Publisher(settings.kafka, connect(settings.registry)).publish([release])
    return release


def _releases(settings: Settings) -> list[Release]:
    from trueloop.adapters.kafka import read_events
    from trueloop.adapters.registry import connect

    return [event for event in read_events(settings.kafka, connect(settings.registry), RELEASES) if isinstance(event, Release)]


def serving_release(settings: Settings, application: str) -> Release | None:
    """Return what serves an application, None when nothing does. Raises UnavailableError."""
    return next((release for release in _releases(settings) if release.application == application), None)
