"""The command line. A command's module is imported when the command runs, so that `trueloop --help` answers at once."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from trueloop.errors import ConfigurationError, TrueloopError, UnavailableError

OK, FAILED, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 130

HELP = """Turn production traces, labels and appeals into gated model updates.

\b
First steps, on one machine:
  trueloop demo                             see the whole loop run, start to end
  trueloop up                               start broker, registry, database and workers
  trueloop rubric publish billing-support   say what good means
  trueloop policy publish billing-support   say how to sample, train and gate
  trueloop emit trace traces.jsonl          send traces; services use `trueloop.Client`
  trueloop status                           see what runs
"""
EPILOG = """\b
Settings come from the environment (TRUELOOP_KAFKA__BOOTSTRAP_SERVERS ...),
then trueloop.toml, then what `trueloop up` wrote, then the defaults.

\b
Exit codes: 0 ok; 1 failed or unhealthy; 2 wrong usage or configuration;
3 a service is unavailable; 130 interrupted by Ctrl-C.
"""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A command that is not imported yet: `module:function`, `module:app` for a group of commands, `module:app/name` for one of a group."""

    section: str
    target: str
    summary: str


_RUN, _GOVERN, _SEND, _LOOK = "Run", "Govern", "Send", "Look and mend"
COMMANDS: dict[str, _Entry] = {
    "demo": _Entry(_RUN, "trueloop.commands.demo:demo", "Watch the loop improve a model, on this machine."),
    "up": _Entry(_RUN, "trueloop.commands.runtime:app/up", "Start broker, registry, database and workers here."),
    "down": _Entry(_RUN, "trueloop.commands.runtime:app/down", "Stop what `up` started."),
    "status": _Entry(_RUN, "trueloop.commands.runtime:app/status", "Show what runs, where it listens, how it is."),
    "top": _Entry(_RUN, "trueloop.commands.top:top", "Show live what the workers do."),
    "doctor": _Entry(_RUN, "trueloop.commands.runtime:app/doctor", "Find out what is wrong and how to mend it."),
    "fetch": _Entry(_RUN, "trueloop.commands.runtime:app/fetch", "Download what `up` runs, or replace what was altered."),
    "worker": _Entry(_RUN, "trueloop.commands.worker:worker", "Run workers of the loop in this process."),
    "topics": _Entry(_RUN, "trueloop.commands.topics:app", "Create the topics, or list them."),
    "rubric": _Entry(_GOVERN, "trueloop.commands.rubrics:app", "Check, publish and show rubrics: what good means."),
    "policy": _Entry(_GOVERN, "trueloop.commands.policies:app", "Check, publish and show policies: how to sample, train and gate."),
    "sampling": _Entry(_GOVERN, "trueloop.commands.sampling:app", "Plan how much of each stratum to review."),
    "gate": _Entry(_GOVERN, "trueloop.commands.gates:app", "Check a candidate, or show what a policy's gate lets pass."),
    "judge": _Entry(_GOVERN, "trueloop.commands.judges:app", "List the models that judge, and see whether one answers."),
    "train": _Entry(_GOVERN, "trueloop.commands.train:train", "Request a training job by hand."),
    "jobs": _Entry(_GOVERN, "trueloop.commands.jobs:app", "List, show, follow, cancel and retry training jobs."),
    "model": _Entry(_GOVERN, "trueloop.commands.models:app", "Register a model with the loop."),
    "dataset": _Entry(_GOVERN, "trueloop.commands.datasets:app", "List, show, compare, freeze, export and roll back datasets."),
    "release": _Entry(_GOVERN, "trueloop.commands.releases:app", "List releases, or say which checkpoint serves."),
    "emit": _Entry(_SEND, "trueloop.commands.emit:app", "Send traces, labels or appeals from a JSON-lines file."),
    "replay": _Entry(_SEND, "trueloop.commands.replay:replay", "Send a public data set through the loop, with its human labels."),
    "dlq": _Entry(_LOOK, "trueloop.commands.dead_letters:app", "List, show and replay dead letters."),
    "replay-log": _Entry(_LOOK, "trueloop.commands.replay_log:replay_log", "Rebuild what the loop made of the log, and compare."),
    "gold": _Entry(_LOOK, "trueloop.commands.gold:app", "Tasks with a known answer: add, give out, judge."),
    "report": _Entry(_LOOK, "trueloop.commands.report:report", "Tables and a page: agreement, reviewers, drift, gates."),
    "explain": _Entry(_LOOK, "trueloop.commands.explain:explain", "Show what a thing came from, and what came of it."),
    "sql": _Entry(_LOOK, "trueloop.commands.sql:sql", "Ask ClickHouse."),
}


class LazyGroup(TyperGroup):
    """The root of the command line: knows its commands by name and summary, and imports the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return a command, None when there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else _load(cmd_name, entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by section without importing them."""
        width = max(map(len, COMMANDS))
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), entry.summary) for name, entry in COMMANDS.items() if entry.section == section])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` name; a misspelt one gets a suggestion."""
        names: Any = dict.fromkeys(COMMANDS)  # names only: they are what suggestions are made from
        self.commands = names
        return super().resolve_command(ctx, args)


def _load(name: str, entry: _Entry) -> Any:
    target, _, inner = entry.target.partition("/")
    module_name, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("trueloop"):
            raise
        raise ConfigurationError(f"`trueloop {name}` needs the Python package {error.name!r}, which is not installed; see the extras in the README") from None
    if not isinstance(found, typer.Typer):
        function, found = found, group()
        found.command(name)(function)
    command: Any = typer.main.get_command(found)
    return command.commands[inner] if inner else command


def group(**attributes: Any) -> typer.Typer:
    """Return an empty group of commands in the style of this command line: plain text, the same on every terminal and in every pipe."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        **attributes,
    )


def _root() -> Any:
    root = group(cls=LazyGroup, help=HELP, epilog=EPILOG)

    @root.callback()
    def options(
        version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True, callback=_print_version),
    ) -> None:
        """Take the options that stand before the command; the help text is that of the group."""

    options.__doc__ = HELP
    return typer.main.get_command(root)


def _print_version(wanted: bool) -> None:
    if wanted:
        from trueloop import __version__

        typer.echo(f"trueloop {__version__}")
        raise typer.Exit


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default the process's) and return its exit code. Errors that a user can act on become a line on stderr."""
    try:
        result = _root().main(args=arguments, prog_name="trueloop", standalone_mode=False)
    except TrueloopError as error:
        typer.echo(f"trueloop: {error}", err=True)
        return USAGE if isinstance(error, ConfigurationError) else UNAVAILABLE if isinstance(error, UnavailableError) else FAILED
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        error.show()  # type: ignore[attr-defined]  # a usage error of typer's parser, whose class typer does not export
        return int(error.exit_code)
    return result if isinstance(result, int) else OK


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
