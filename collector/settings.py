"""The collector's settings, from flags or from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from collector.origins import parse_sites
from contract.failures import ConfigError
from contract.names import TOPIC
from contract.settings import count, number, setting, text


def sites(given: str) -> tuple[str, ...]:
    """Origins, separated by commas, or *."""
    return parse_sites(given)


def folder(given: str) -> Path:
    """A folder on a local disk."""
    return Path(text(given))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one collector process is run."""

    kafka_servers: str = setting(text, help="Kafka's addresses, host:port, separated by commas")
    sites: tuple[str, ...] = setting(sites, help="origins that may send: https://example.com,... or * for any")
    topic: str = setting(text, default=TOPIC, help="topic of the pageviews")
    kafka_config: Path | None = setting(
        folder, default=None, help="file of further librdkafka settings, name=value a line, such as sasl.password"
    )
    host: str = setting(text, default="127.0.0.1", help="address to listen on")
    port: int = setting(number, default=8080, help="port to listen on")
    spool: Path = setting(
        folder, default=Path(".webevents/spool"), help="folder for pageviews while Kafka is away; keep it over restarts"
    )
    spool_mb: int = setting(number, default=1024, help="bound of the spool, in MiB; above it the answer is 507")
    ack_wait_ms: int = setting(number, default=2_000, help="how long a request waits for Kafka before the spool")
    rate: int = setting(number, default=100, help="events a second from one address; bursts of ten times as many")
    connections: int = setting(number, default=4_000, help="open connections in all")
    address_connections: int = setting(count, default=0, help="open connections from one address; 0 behind a proxy")
    request_s: int = setting(number, default=20, help="seconds in which a request must be whole")
    keep_alive_s: int = setting(number, default=75, help="seconds that a quiet connection stays open")
    trusted_hops: int = setting(count, default=0, help="proxies in front that append to X-Forwarded-For")


def read_kafka_config(settings: Settings) -> Mapping[str, str]:
    """librdkafka's settings: the addresses, and the file's lines. Raises ConfigError."""
    config = {"bootstrap.servers": settings.kafka_servers}
    if settings.kafka_config is None:
        return config
    try:
        lines = settings.kafka_config.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"--kafka-config {settings.kafka_config}: {error.strerror}") from error
    for line in lines:
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or name.startswith("#"):
            continue
        if not equals:
            raise ConfigError(f"--kafka-config {settings.kafka_config}: want name=value, got a line without =")
        config[name] = value
    return config
