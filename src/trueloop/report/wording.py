"""How numbers, bounds and their absence are written."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def estimate(row: Mapping[str, Any]) -> str:
    """Return an estimate with its interval, or what is missing and why.

    >>> estimate({"value": 0.83, "low": 0.8131, "high": 0.8469, "reason": None})
    '0.830 [0.813, 0.847]'
    >>> estimate({"value": 0.83, "low": None, "high": None, "reason": "TOO_FEW_UNITS"})
    '0.830 (no interval: too few units)'
    >>> estimate({"value": None, "low": None, "high": None, "reason": "NO_PAIRABLE_UNITS"})
    'no evidence (no pairable units)'
    """
    if row["value"] is None:
        return f"no evidence ({reason(row['reason'])})"
    value = number(row["value"])
    if row["low"] is not None and row["high"] is not None:
        return f"{value} [{number(row['low'])}, {number(row['high'])}]"
    return f"{value} (no interval: {reason(row['reason'])})"


def number(value: float | None) -> str:
    """Return a number with three decimals; a dash for none.

    >>> number(None), number(-0.0001), number(12.3456)
    ('–', '-0.000', '12.346')
    """
    return "–" if value is None else f"{value:.3f}"


def count(value: int | None) -> str:
    """Return a count with its thousands apart; a dash for none.

    >>> count(12345), count(None)
    ('12,345', '–')
    """
    return "–" if value is None else f"{value:,}"


_WORDS = {"NO_CURRENT": "no losses since its start", "NO_REFERENCE": "its reference is not full"}


def reason(code: str | None) -> str:
    """Return a reason as words.

    >>> reason("NO_PAIRABLE_UNITS"), reason("NO_REFERENCE"), reason(None)
    ('no pairable units', 'its reference is not full', 'unknown reason')
    """
    return _WORDS.get(code) or code.lower().replace("_", " ") if code else "unknown reason"


def moment(value: datetime | None) -> str:
    """Return a moment in UTC, to the minute; a dash for none.

    >>> moment(datetime(2026, 11, 1, 9, 5, tzinfo=UTC))
    '2026-11-01 09:05'
    """
    return "–" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def shown(text: Any) -> str:
    """Return text from the log as it may be shown: without control characters, which steer terminals, and cut where it is endless.

    >>> shown("a\\x1b[2Jb")
    'a�[2Jb'
    """
    plain = "".join(character if character.isprintable() else "�" for character in str(text))
    return plain if len(plain) <= 80 else f"{plain[:79]}…"
