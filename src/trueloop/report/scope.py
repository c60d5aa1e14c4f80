"""What is asked for: whose evidence, since when, on which slice."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trueloop.errors import ConfigurationError

DEFAULT_SINCE = "30d"
_AGO = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose evidence, and since when. None is no limit.

    Attributes:
        application: An application.
        slice: 'all' or 'name=value'.
        since: Evidence from before does not count.
    """

    application: str | None = None
    slice: str | None = None
    since: datetime | None = None

    def where(self, since_column: str | None = None, *, sliced: bool = False) -> tuple[str, dict[str, str]]:
        """Return a condition in SQL and its parameters; values never stand in the SQL itself.

        >>> Scope(application="support").where(sliced=True)
        ('application = {application:String}', {'application': 'support'})
        """
        conditions, parameters = [], {}
        if self.application is not None:
            conditions.append("application = {application:String}")
            parameters["application"] = self.application
        if sliced and self.slice is not None:
            conditions.append("slice = {slice:String}")
            parameters["slice"] = self.slice
        if since_column is not None and self.since is not None:
            conditions.append(f"{since_column} >= {{since:DateTime64(6, 'UTC')}}")
            parameters["since"] = sql_time(self.since)
        return " AND ".join(conditions) or "true", parameters


def sql_time(moment: datetime) -> str:
    """Return a moment as a query parameter of type DateTime64(6, 'UTC')."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def parse_since(text: str, now: datetime) -> datetime:
    """Return the moment that a user means. Raises ConfigurationError, saying what is expected.

    >>> parse_since("36h", datetime(2026, 11, 3, tzinfo=UTC)).isoformat()
    '2026-11-01T12:00:00+00:00'
    >>> parse_since("2026-11-01", datetime(2026, 11, 3, tzinfo=UTC)).isoformat()
    '2026-11-01T00:00:00+00:00'
    """
    ago = _AGO.fullmatch(text)
    try:
        moment = now - int(ago[1]) * _UNITS[ago[2]] if ago else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"since is {text!r}; expected a time ago such as 36h, 7d or 4w, or a date such as 2026-11-01") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
