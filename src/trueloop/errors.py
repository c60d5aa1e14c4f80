"""The errors of Trueloop.

TrueloopError
 +- ConfigurationError     a file, setting or option is wrong; the message names the key
 +- DecodeError            bytes that are not the event they should be
 |   +- UnknownSchemaError   the registry has no schema of that id
 +- UnavailableError       a broker, registry, database or store does not answer; trying again may help
 +- IntegrityError         bytes whose checksum is not the recorded one
 +- ExportError            a dataset that cannot be exported as it was asked for
 +- TrainingError          a job that cannot go on

Each message says what was given, what was expected and what to do. It never holds text of prompts, labels or appeals.
"""

from trueloop.rejection import RejectReason


class TrueloopError(Exception):
    """Base of all errors that a user of Trueloop can act on."""


class ConfigurationError(TrueloopError, ValueError):
    """A file, setting or option is wrong."""


class DecodeError(TrueloopError, ValueError):
    """Bytes that are not the event they should be. `reason` becomes the error class of the dead letter."""

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class UnknownSchemaError(DecodeError):
    """The registry answered that it has no schema of that id."""

    def __init__(self, schema_id: int) -> None:
        self.schema_id = schema_id
        DecodeError.__init__(self, RejectReason.UNKNOWN_SCHEMA, f"schema id {schema_id} is not in the registry; expected an id it has given out")
        self.args = (schema_id,)


class UnavailableError(TrueloopError, ConnectionError):
    """A service does not answer."""


class IntegrityError(TrueloopError):
    """Bytes whose checksum is not the recorded one."""


class ExportError(TrueloopError, ValueError):
    """A dataset that cannot be exported as it was asked for."""


class TrainingError(TrueloopError):
    """A training job that cannot go on."""
