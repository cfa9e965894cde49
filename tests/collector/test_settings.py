"""Settings: faults at once, and librdkafka's own from a file."""

from pathlib import Path

import pytest

from collector.settings import Settings, read_kafka_config
from contract.failures import ConfigError
from contract.settings import read_flags


def read(*flags: str) -> Settings:
    return read_flags(Settings, flags, prog="webevents collect", description="")


def test_addresses_and_sites_are_needed() -> None:
    with pytest.raises(ConfigError, match=r"(?s)--kafka-servers: required.*--sites: required"):
        read()


def test_all_faults_at_once() -> None:
    with pytest.raises(
        ConfigError, match=r"(?s)--spol: unknown; did you mean --spool.*--sites: want origins.*--port: want"
    ):
        read("--kafka-servers", "a:9092", "--sites", "example.com", "--port", "http", "--spol", "x")


def test_the_file_of_kafka_settings(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# a comment\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n")
    settings = read("--kafka-servers", "a:9092", "--sites", "*", "--kafka-config", str(file))
    assert read_kafka_config(settings) == {
        "bootstrap.servers": "a:9092", "security.protocol": "SASL_SSL", "sasl.password": "a=b",
    }  # fmt: skip


def test_a_line_without_an_equals_sign_is_told_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("secret\n")
    settings = read("--kafka-servers", "a:9092", "--sites", "*", "--kafka-config", str(file))
    with pytest.raises(ConfigError, match="without =") as refused:
        read_kafka_config(settings)
    assert "secret" not in str(refused.value)
