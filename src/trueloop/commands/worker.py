"""`trueloop worker`."""

import logging
from typing import Annotated

import typer

from trueloop.commands.output import JSON_OPTION, print_json, print_table
from trueloop.errors import ConfigurationError, UnavailableError

STREAMS = {
    "sampling": "traces -> review-queue",
    "appeals": "appeals -> blind re-reviews",
    "profiles": "traces -> what drift is told of all of them",
    "trials": "what people compare for a gate -> blind tasks",
    "collection": "labels -> what each task has",
    "agreement": "how far reviewers agree",
    "reviewers": "how reliable each reviewer is, and what is probably true of each task",
    "estimates": "how good what is served is, from labels and judges",
    "drift": "whether quality falls",
    "distributions": "whether latency, lengths or topics move",
    "families": "which slices drift together",
    "quotas": "alarms -> more reviews of their slice",
    "disagreements": "agreement -> what sampling is told of it",
    "trigger": "when to train, on what",
    "gating": "whether a candidate may be released",
}
ALONE = {"sink": "every topic -> ClickHouse", "trainer": "training-requests -> checkpoints and evaluations"}


def worker(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Workers to run, or 'all' for the stream workers.")] = None,
    *,
    list_only: bool = typer.Option(False, "--list", help="List the workers and leave."),
    instance: str = typer.Option(
        None, help="Name of this process among those that run the same workers, stable over restarts, such as a pod's ordinal: it resumes at once."
    ),
    device: Annotated[list[str] | None, typer.Option(help="Of the trainer: 'cpu', 'cuda:0', ...; may be repeated, for a job on each at once.")] = None,
    accept_loss: bool = typer.Option(
        False, "--accept-loss", help="Do not run: have the workers' state rebuilt, at their next start, from what their topics still hold."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Run workers in this process until SIGTERM or Ctrl-C.

    \b
    Stream workers may share a process; sink and trainer run alone. Start more
    processes with the same names to scale: Kafka divides the partitions.

    \b
    A worker whose state was lost rebuilds it from its input topics. When these
    have lost records as well it stops and says which; --accept-loss lets it go
    on without them.

    \b
    Examples:
      trueloop worker all
      trueloop worker sampling collection
      trueloop worker sink
    """
    if list_only:
        _list(as_json)
        return
    chosen = _chosen(names or [])
    if accept_loss:
        _accept_loss(chosen)
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    raise typer.Exit(_run(chosen, instance, device or []))


def _list(as_json: bool) -> None:
    rows = list((STREAMS | ALONE).items())
    if as_json:
        print_json([{"name": name, "does": does, "alone": name in ALONE} for name, does in rows])
    else:
        print_table(("worker", "does"), rows, "")


def _accept_loss(names: list[str]) -> None:
    from trueloop.config import load_settings
    from trueloop.streams.catalog import processors
    from trueloop.streams.state_guard import accept_loss

    accepted = accept_loss(load_settings(), processors(names))
    if not accepted:
        raise ConfigurationError(f"given {', '.join(names)}; expected a worker that keeps state: none of these does")
    typer.echo(f"at its next start the state of {', '.join(accepted)} is rebuilt from what the input topics still hold")


def _chosen(names: list[str]) -> list[str]:
    known = [*STREAMS, *ALONE]
    if not names:
        raise ConfigurationError(f"no worker named; expected 'all' or some of {', '.join(known)}. See `trueloop worker --list`")
    chosen = list(dict.fromkeys(worker for name in names for worker in (STREAMS if name == "all" else [name])))
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ConfigurationError(f"no worker {unknown[0]!r}; expected 'all' or some of {', '.join(known)}")
    if len(chosen) > 1 and any(name in ALONE for name in chosen):
        raise ConfigurationError(f"given {', '.join(chosen)}; sink and trainer each run alone: start one process for each")
    return chosen


def _run(names: list[str], instance: str | None, devices: list[str]) -> int:
    from trueloop.config import load_settings

    settings = load_settings()
    try:
        if names == ["sink"]:
            from trueloop.streams import sink

            sink.run(settings)
            return 0
        if names == ["trainer"]:
            from trueloop.trainers import worker as trainer

            trainer.run(trainer.on_devices(settings, devices))
            return 0
        from trueloop.streams import worker as streams

        return int(streams.run(names, settings, instance) or 0)
    except UnavailableError as error:
        logging.getLogger("trueloop.worker").error("stopped: %s", error)
        raise
