"""The job's command line."""

from pathlib import Path

import pytest

from contract.failures import ConfigError
from contract.settings import read_flags
from streaming.settings import KafkaOption, Settings
from streaming.source import starting_options

BASE = ("--kafka-servers", "localhost:9092", "--checkpoint", "file:///c", "--target", "gs://b")


def read(*flags: str) -> Settings:
    return read_flags(Settings, [*BASE, *flags], prog="streaming/main.py", description="")


def test_the_defaults_are_the_published_ones() -> None:
    settings = read()
    assert (settings.topic, settings.watermark_seconds, settings.window_seconds) == ("webevent", 200, 1800)
    assert (settings.trigger, settings.starting_offsets, settings.files_per_batch) == ("180", "earliest", 1)
    assert (settings.archive, settings.state_store, settings.kafka_option) == (True, "rocksdb", ())
    assert settings.stage_folder == "file:///c-stage"


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("earliest", {"startingOffsets": "earliest"}),
        (
            "1970-01-01T01:00:01+01:00",
            {"startingTimestamp": "1000", "startingOffsetsByTimestampStrategy": "latest"},
        ),
    ],
)
def test_where_a_new_checkpoint_begins(given: str, options: dict[str, str]) -> None:
    assert starting_options(read("--starting-offsets", given).starting_offsets) == options


REFUSED = {
    "a server without a port": (("--kafka-servers", "localhost"), "host:port"),
    "a bucket with a folder": (("--target", "gs://b/x"), "gs://bucket"),
    "a target without a scheme": (("--target", "/tmp/x"), "file:///folder"),
    "a checkpoint without a scheme": (("--checkpoint", "cp"), "file:///folder"),
    "a stage on another file system": (("--stage", "hdfs:///x"), "gs://bucket/folder"),
    "a trigger in words": (("--trigger", "often"), "whole number"),
    "a window of nothing": (("--window-seconds", "0"), "from 1"),
    "a time without its zone": (("--starting-offsets", "2026-05-17T10:00:00"), "2026-05-17T10:00:00Z"),
    "an unknown start": (("--starting-offsets", "erliest"), "earliest, latest, or a time"),
    "an unknown state store": (("--state-store", "rocks"), "did you mean rocksdb"),
    "an unknown flag": (("--watermark-second", "1"), "did you mean --watermark-seconds"),
    "a Kafka option without a value": (("--kafka-option", "security.protocol"), "key=value"),
    "a Kafka option that is a flag": (("--kafka-option", "kafka.bootstrap.servers=a:1"), "--kafka-servers sets it"),
    "a password": (("--kafka-option", "ssl.key.password=hunter2"), "env:NAME"),
    "a password within a value": (("--kafka-option", 'sasl.jaas.config=X required password="hunter2";'), "env:NAME"),
}


@pytest.mark.parametrize(("flags", "told"), REFUSED.values(), ids=REFUSED)
def test_a_fault_is_told_by_its_flag_and_never_shows_a_secret(flags: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(*flags)
    assert flags[0] in str(caught.value)
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_kafka_options_repeat_and_take_secrets_by_reference(tmp_path: Path) -> None:
    (tmp_path / "jaas").write_text("secret of the file\n")
    settings = read(
        *("--kafka-option", "kafka.security.protocol=SASL_SSL"),
        *("--kafka-option", f"sasl.jaas.config=file:{tmp_path / 'jaas'}"),
        *("--kafka-option", "ssl.key.password=env:KEY"),
    )
    assert {option.key: option.resolve({"KEY": "k"}) for option in settings.kafka_option} == {
        "security.protocol": "SASL_SSL", "sasl.jaas.config": "secret of the file", "ssl.key.password": "k",
    }  # fmt: skip


@pytest.mark.parametrize("value", ["env:NOT_THERE", "file:/not/there"])
def test_a_reference_that_leads_nowhere_is_told(value: str) -> None:
    with pytest.raises(ConfigError, match=f"sasl.jaas.config: nothing to read at {value}"):
        KafkaOption("sasl.jaas.config", value).resolve({})
