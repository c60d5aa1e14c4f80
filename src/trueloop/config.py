"""Settings of every process: where Kafka, the registry, ClickHouse and the models are. The same classes serve one machine and many.

Order of precedence: environment (TRUELOOP_KAFKA__BOOTSTRAP_SERVERS and so on), `trueloop.toml` in the working directory (or the file that
TRUELOOP_CONFIG names), the endpoints of an embedded runtime that runs on this state directory, the defaults.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from trueloop.errors import ConfigurationError

ENDPOINTS_FILE = Path("run") / "endpoints.json"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Section):
    """How to reach Kafka. SASL and TLS are for brokers that ask for them."""

    bootstrap_servers: str = Field(default="127.0.0.1:19092", description="Comma-separated host:port list.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = Field(default=None, description="PEM file of the authority that signed the brokers' certificates.")
    ssl_certificate_location: Path | None = Field(default=None, description="PEM file of the client's certificate.")
    ssl_key_location: Path | None = Field(default=None, description="PEM file of the client's key.")
    replication_factor: int = Field(default=1, ge=1, le=9, description="Replicas of topics that are created; 1 suits one broker, 3 production.")
    topic_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", description="Put before every topic and group name.")


class RegistrySettings(_Section):
    """How to reach the schema registry (Confluent API)."""

    url: str = Field(default="http://127.0.0.1:18081/apis/ccompat/v7")
    username: str | None = None
    password: SecretStr | None = None
    ssl_ca_location: Path | None = None


class ClickHouseSettings(_Section):
    """How to reach ClickHouse. With `embedded` the sink worker owns the engine and serves `url` read-only."""

    url: str = Field(default="http://127.0.0.1:18123", description="HTTP interface.")
    username: str = "default"
    password: SecretStr = SecretStr("")
    database: str = Field(default="trueloop", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    embedded: bool = Field(default=False, description="True when the sink opens the engine in process, under the state directory.")


class MetricsSettings(_Section):
    """Where each worker serves its metrics. There are no accounts: whoever reaches the port reads the numbers."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen at; 0.0.0.0 in a container, whose network is its own.")
    port: int = Field(default=0, ge=0, le=65535, description="0: any free port, which the worker notes under STATE_DIR/run/metrics.")


class JudgeSettings(_Section):
    """A model that judges: an endpoint that speaks OpenAI's chat completions, or without `url` a checkpoint of the model store.

    A policy names a judge ('judge:NAME') and nothing else of it: no event chooses an address, a model or a key.
    """

    model: str = Field(min_length=1, description="The model as the endpoint calls it, or models://ID.")
    url: str | None = Field(default=None, description="Address up to /chat/completions, such as https://judge.example/v1.")
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Environment variable that holds the key.")
    ssl_ca_location: Path | None = Field(default=None, description="PEM file of the authority that signed the endpoint's certificate.")
    timeout_s: float = Field(default=60.0, gt=0, le=3600, description="Longest wait for one answer, from connecting to its last byte.")
    attempts: int = Field(default=3, ge=1, le=10, description="Times a question is asked when the endpoint is busy or away.")
    concurrency: int = Field(default=8, ge=1, le=256, description="Questions in flight at a time.")
    temperature: float | None = Field(default=0.0, ge=0, le=2, description="null leaves it out, for models that refuse it.")
    max_new_tokens: int = Field(default=512, ge=1, le=1 << 17, description="Longest answer to a question.")
    token_limit_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    max_question_chars: int = Field(default=200_000, ge=1, description="Longer questions are not asked.")
    max_answer_bytes: int = Field(default=1 << 20, ge=1024, le=1 << 28, description="Answers with more bytes are not read.")

    @model_validator(mode="after")
    def _one_kind(self) -> "JudgeSettings":
        if self.url is None:
            if not self.model.startswith("models://"):
                raise ValueError("has no url, so model must be models://ID, a checkpoint of the model store")
            if self.api_key_env or self.ssl_ca_location:
                raise ValueError("has no url, so api_key_env and ssl_ca_location have no use: remove them")
            return self
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("url must be http(s)://HOST[:PORT]/PATH without a user, a query or a fragment; the key goes by api_key_env")
        return self


class TrainerSettings(_Section):
    """Where and how this trainer worker trains. Events choose none of it."""

    devices: tuple[Annotated[str, Field(pattern=r"^(auto|cpu|cuda:[0-9]+)$")], ...] = Field(
        default=("auto",), min_length=1, description="Devices of this machine that take a job each: 'cpu', 'cuda:0', ...; 'auto' is all that a trainer finds."
    )
    executor: Literal["process", "accelerate", "kubernetes"] = Field(default="process", description="Where the training of a job runs.")
    accelerate_arguments: tuple[str, ...] = Field(default=(), description="What `accelerate launch` is told, such as --num_processes=4.")
    kubernetes_template: Path | None = Field(default=None, description="Manifest of the Job, as ops/kubernetes/training-job.yaml; asked for by 'kubernetes'.")
    kubernetes_submit: bool = Field(default=True, description="False: manifests are written beside the job for somebody else to submit.")
    keep_jobs: int = Field(default=500, ge=1, description="Jobs whose log, curve and configuration are kept, the newest ones.")


class Settings(BaseSettings):
    """Settings of a Trueloop process. Unknown keys are errors; secrets never print."""

    model_config = SettingsConfigDict(env_prefix="TRUELOOP_", env_nested_delimiter="__", extra="forbid", frozen=True)

    state_dir: Path = Field(default=Path(".trueloop"), description="Where the embedded runtime keeps its state, and models by default.")
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    metrics: MetricsSettings = MetricsSettings()
    judges: dict[str, JudgeSettings] = Field(default_factory=dict, description="Judges by name: [judges.NAME] in trueloop.toml.")
    trainer: TrainerSettings = TrainerSettings()
    models_dir: Path | None = Field(default=None, description="Root of the model store; default: STATE_DIR/models.")
    blinding_key: SecretStr = Field(
        default=SecretStr(""), description="Secret that blinds candidates and shuffles them. Set it in production: whoever knows it can unblind."
    )

    @property
    def models(self) -> Path:
        """Root of the model store."""
        return (self.models_dir or self.state_dir / "models").absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the TOML file, then what the embedded runtime wrote."""
        file = Path(os.environ.get("TRUELOOP_CONFIG", "trueloop.toml"))
        toml = TomlConfigSettingsSource(settings_cls, toml_file=file)
        return (init_settings, env_settings, toml, _EmbeddedEndpoints(settings_cls, init_settings, env_settings, toml))


class _EmbeddedEndpoints(PydanticBaseSettingsSource):
    """What an embedded runtime wrote into the state directory: its endpoints."""

    def __init__(self, settings_cls: type[BaseSettings], *earlier: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._earlier = earlier

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the source answers as a whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        state_dir = next((found["state_dir"] for source in self._earlier if "state_dir" in (found := source())), ".trueloop")
        path = Path(state_dir) / ENDPOINTS_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ConfigurationError(f"{path} is not JSON ({error}); stop the runtime and delete the file") from None
        return dict(content)


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of this process. Raises ConfigurationError naming each wrong key."""
    unknown = sorted(name for name in os.environ if name.startswith("TRUELOOP_") and name.removeprefix("TRUELOOP_").split("__")[0].lower() not in _KNOWN_NAMES)
    if unknown:
        raise ConfigurationError(f"unknown environment variable {unknown[0]!r}; known: {', '.join(_known_variables())}")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors(include_input=False))
        raise ConfigurationError(f"settings are wrong: {faults}. Set them in trueloop.toml or in the environment") from None


_OTHER_VARIABLES = {"config", "ready_file", "maven_mirror", "pure_python"}
_KNOWN_NAMES = set(Settings.model_fields) | _OTHER_VARIABLES


def _known_variables() -> list[str]:
    return [f"TRUELOOP_{name.upper()}" for name in sorted(_KNOWN_NAMES)]
