"""`trueloop dlq`."""

from typing import TYPE_CHECKING, Any

import typer

from trueloop.cli import group
from trueloop.commands.output import JSON_OPTION, print_json, print_table, printable, progress
from trueloop.config import load_settings
from trueloop.errors import ConfigurationError
from trueloop.topics import ALL, Topic, by_name

if TYPE_CHECKING:
    from trueloop.adapters.dead_letter_box import Case, DeadLetterBox

app = group(help="Dead letters: what could not be processed, as it was read. Mend the cause, then send them back.")
_ROW_BYTES = 16
_PREVIEW_BYTES = 512

TOPIC: Any = typer.Argument(..., metavar="TOPIC", help="The original topic, such as 'traces'.")


@app.command("ls")
def list_letters(
    topic: str = typer.Argument(None, metavar="[TOPIC]", help="The original topic; by default all."),
    include_replayed: bool = typer.Option(False, "--all", help="Also those that were sent back and not refused again."),
    as_json: bool = JSON_OPTION,
) -> None:
    """List dead letters, one row per original record.

    \b
    Examples:
      trueloop dlq ls
      trueloop dlq ls traces --all
    """
    box = _box()
    with progress() as shown:
        cases: list[Case] = []
        for one in [_topic(topic)] if topic else ALL:
            shown.show(f"reading {one.dead_letters}")
            cases += [case for case in box.cases(one) if include_replayed or case.open]
    if as_json:
        print_json([_facts(case) for case in cases])
        return
    rows = [
        (case.topic, case.partition, case.offset, case.last.reason.value, len(case.consumers), max(letter.attempt for letter in case.letters),
         f"{case.letters[0].first_failed_at:%Y-%m-%d %H:%M:%S}", f"{case.replayed_at:%Y-%m-%d %H:%M:%S}" if case.replayed_at else None)
        for case in cases
    ]  # fmt: skip
    print_table(("topic", "partition", "offset", "error", "consumers", "attempts", "first failed (UTC)", "sent back (UTC)"), rows, "no dead letters")


@app.command()
def show(
    topic: str = TOPIC,
    partition: int = typer.Argument(..., help="Original partition."),
    offset: int = typer.Argument(..., help="Original offset."),
    payload: bool = typer.Option(False, "--payload", help="Show the first 512 bytes too. They may hold what people wrote."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show why a record was refused, and by whom; the record itself only on request.

    \b
    Example:
      trueloop dlq show traces 2 1041 --payload
    """
    case = _box().case(_topic(topic), partition, offset)
    value = case.last.value or b""
    if as_json:
        print_json(_facts(case) | ({"payload_hex": value[:_PREVIEW_BYTES].hex()} if payload else {}))
        return
    typer.echo(f"{case.topic} partition {case.partition} offset {case.offset}: {case.last.omitted_bytes or len(value):,} bytes")
    for letter in case.letters:
        moment = f"{letter.first_failed_at:%Y-%m-%d %H:%M:%S}"
        typer.echo(f"  {letter.consumer}, attempt {letter.attempt}, first failed {moment}: {letter.reason.value}: {printable(letter.message)}")
    typer.echo(f"  sent back {case.replayed_at:%Y-%m-%d %H:%M:%S}" if case.replayed_at else "  not sent back yet")
    if payload:
        typer.echo(hexdump(value[:_PREVIEW_BYTES]))
        if len(value) > _PREVIEW_BYTES:
            typer.echo(f"... {len(value) - _PREVIEW_BYTES:,} bytes more")


@app.command()
def replay(
    topic: str = TOPIC,
    partition: int = typer.Option(None, "--partition", help="Original partition."),
    offset: int = typer.Option(None, "--offset", help="Original offset."),
    everything: bool = typer.Option(False, "--all", help="All that are open, that is not sent back or refused again."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Send records back to the topic that they came from, under their key, after the cause is mended.

    \b
    Examples:
      trueloop dlq replay labels --partition 0 --offset 17
      trueloop dlq replay labels --all
    """
    if everything == (partition is not None and offset is not None) or (everything and (partition is not None or offset is not None)):
        raise ConfigurationError("say which: either --partition N --offset N for one record, or --all for every open one")
    box, original = _box(), _topic(topic)
    cases = [case for case in box.cases(original) if case.open] if everything else [box.case(original, partition, offset)]
    whole = [case for case in cases if case.last.omitted_bytes is None] if everything else cases
    done = 0
    with progress() as shown:
        for case in whole:
            done += box.replay(original, [case])
            shown.show(f"sent back {done} of {len(whole)}")
    if as_json:
        print_json({"topic": original.name, "replayed": done, "left_out": len(cases) - len(whole)})
    else:
        left = f"; {len(cases) - len(whole)} were too large to be copied and lie where they were read" if len(cases) > len(whole) else ""
        typer.echo(f"sent back {done} records to {original.name!r}{left}")


def hexdump(data: bytes) -> str:
    """Return bytes as lines of offset, hex and printable ASCII: nothing in them can steer a terminal.

    >>> hexdump(b"ab\\x1b[2J")
    '  0000  61 62 1b 5b 32 4a                                ab.[2J'
    """
    lines = []
    for start in range(0, len(data), _ROW_BYTES):
        row = data[start : start + _ROW_BYTES]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"  {start:04x}  {row.hex(' '):<47}  {text}")
    return "\n".join(lines)


def _box() -> "DeadLetterBox":
    from trueloop.adapters.dead_letter_box import DeadLetterBox

    return DeadLetterBox(load_settings().kafka)


def _topic(name: str) -> Topic:
    try:
        return by_name(name.removesuffix(".dead-letters"))
    except KeyError as error:
        raise ConfigurationError(str(error.args[0])) from None


def _facts(case: "Case") -> dict[str, object]:
    return {
        "topic": case.topic,
        "partition": case.partition,
        "offset": case.offset,
        "error_class": case.last.reason.value,
        "message": case.last.message,
        "consumers": case.consumers,
        "attempts": max(letter.attempt for letter in case.letters),
        "first_failed_at": case.letters[0].first_failed_at.isoformat(),
        "bytes": case.last.omitted_bytes or len(case.last.value or b""),
        "replayed_at": case.replayed_at.isoformat() if case.replayed_at else None,
        "open": case.open,
    }
