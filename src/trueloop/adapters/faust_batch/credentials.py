"""Faust's view of how to reach the brokers."""

import ssl
from typing import Any

from faust.auth import SASLCredentials, SSLCredentials

from trueloop.config import KafkaSettings
from trueloop.errors import ConfigurationError


def broker_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the app options `broker` and `broker_credentials`. Raises ConfigurationError when a certificate cannot be read."""
    options: dict[str, Any] = {"broker": [f"aiokafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")]}
    context = _ssl_context(kafka) if kafka.security_protocol in ("SSL", "SASL_SSL") else None
    if kafka.security_protocol.startswith("SASL"):
        options["broker_credentials"] = SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password.get_secret_value() if kafka.sasl_password else None,
            mechanism=kafka.sasl_mechanism or "PLAIN",
            ssl_context=context,
        )
    elif context is not None:
        options["broker_credentials"] = SSLCredentials(context)
    return options


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(kafka.ssl_ca_location) if kafka.ssl_ca_location else None)
        if kafka.ssl_certificate_location:
            context.load_cert_chain(kafka.ssl_certificate_location, kafka.ssl_key_location)
    except OSError as error:
        raise ConfigurationError(
            f"the TLS files of Kafka cannot be read: {error.strerror or type(error).__name__}; expected PEM files at "
            f"kafka.ssl_ca_location {str(kafka.ssl_ca_location)!r}, ssl_certificate_location {str(kafka.ssl_certificate_location)!r} "
            f"and ssl_key_location {str(kafka.ssl_key_location)!r}"
        ) from None
    return context
