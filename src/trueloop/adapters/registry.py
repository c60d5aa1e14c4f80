"""The schema registry through confluent-kafka's client (Confluent API: Confluent, Apicurio, Karapace, Redpanda)."""

from typing import Any

from trueloop.codec import Codec
from trueloop.config import RegistrySettings
from trueloop.errors import ConfigurationError, UnavailableError, UnknownSchemaError

NOT_FOUND = 404
INCOMPATIBLE = 409


class ConfluentRegistry:
    """A registry that is reached over HTTP. Connects on first use."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._connected: Any = None

    @property
    def _client(self) -> Any:
        if self._connected is None:
            from confluent_kafka.schema_registry import SchemaRegistryClient

            config: dict[str, Any] = {"url": self._settings.url, "timeout": 10, "max.retries": 2}
            if self._settings.username:
                password = self._settings.password.get_secret_value() if self._settings.password else ""
                config["basic.auth.user.info"] = f"{self._settings.username}:{password}"
            if self._settings.ssl_ca_location:
                config["ssl.ca.location"] = str(self._settings.ssl_ca_location)
            self._connected = SchemaRegistryClient(config)
        return self._connected

    def register(self, subject: str, schema: str) -> int:
        """Return the id of `schema` under `subject`, registering it if it is new.

        Raises ConfigurationError when the registry refuses it as incompatible, UnavailableError when it does not answer.
        """
        from confluent_kafka.schema_registry import Schema
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            return int(self._client.register_schema(subject, Schema(schema, "AVRO")))
        except SchemaRegistryError as error:
            if error.http_status_code == INCOMPATIBLE:
                raise ConfigurationError(
                    f"the registry refuses the schema of {subject!r} as incompatible with an earlier version: give new fields defaults"
                ) from None
            raise UnavailableError(f"schema registry {self._settings.url!r} answered {error.http_status_code} for {subject!r}") from None
        except Exception as error:
            raise self._unavailable(error) from None

    def schema(self, schema_id: int) -> str:
        """Return the text of a schema. Raises UnknownSchemaError or UnavailableError."""
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            return str(self._client.get_schema(schema_id).schema_str)
        except SchemaRegistryError as error:
            if error.http_status_code == NOT_FOUND:
                raise UnknownSchemaError(schema_id) from None
            raise UnavailableError(f"schema registry {self._settings.url!r} answered {error.http_status_code} for schema id {schema_id}") from None
        except Exception as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Exception) -> UnavailableError:
        return UnavailableError(f"schema registry {self._settings.url!r} does not answer ({type(error).__name__}); start it with `trueloop up`")


def connect(settings: RegistrySettings) -> Codec:
    """Return a codec over the registry that the settings name."""
    return Codec(ConfluentRegistry(settings))


def register_schemas(settings: RegistrySettings) -> list[str]:
    """Register the schema of every topic's event, so that a foreign client can read a topic before our first event is on it.

    Returns the subjects. Raises ConfigurationError when the registry refuses a schema as incompatible, UnavailableError when it is away.
    """
    from concurrent.futures import ThreadPoolExecutor

    from trueloop.events.avro import schema_file
    from trueloop.schemas import schema_text
    from trueloop.topics import ALL

    registry = ConfluentRegistry(settings)
    registry.register(ALL[0].subject, schema_text(schema_file(ALL[0].event)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda topic: registry.register(topic.subject, schema_text(schema_file(topic.event))), ALL))
    return [topic.subject for topic in ALL]
