"""What is read from a checkpoint, as Spark writes it."""

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from contract.failures import ConfigError
from streaming.checkpoint import Checkpoint

pytestmark = pytest.mark.spark

CONF = {"spark.sql.shuffle.partitions": "2"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two batches over Kafka: the second one found a partition that is new."""
    for log in ("offsets", "commits", "sources/0"):
        (tmp_path / log).mkdir(parents=True)
    (tmp_path / "metadata").write_text('{"id":"1f956285"}')
    (tmp_path / "sources/0/0").write_bytes(b'\x00v1\n{"webevent":{"0":5,"1":7}}')
    for batch, watermark, ends in ((0, 0, {"0": 10, "1": 7}), (1, 1000, {"0": 12, "1": 9, "2": 3})):
        metadata = json.dumps({"batchWatermarkMs": watermark, "batchTimestampMs": 1, "conf": CONF})
        (tmp_path / f"offsets/{batch}").write_text(f"v1\n{metadata}\n{json.dumps({'webevent': ends})}")
    (tmp_path / "commits/0").write_text('v1\n{"nextBatchWatermarkMs":1000}')
    return tmp_path


def test_spans_begin_where_the_batch_before_ended(spark: SparkSession, folder: Path) -> None:
    checkpoint = Checkpoint(spark, folder.as_uri())
    checkpoint.check()
    assert checkpoint.query_id() == "1f956285"
    assert checkpoint.spans(0) == {"webevent": {"0": [5, 10], "1": [7, 7]}}
    assert checkpoint.spans(1) == {"webevent": {"0": [10, 12], "1": [7, 9], "2": [0, 3]}}
    assert [checkpoint.planned(batch).watermark_ms for batch in (0, 1)] == [0, 1000]
    assert checkpoint.conf() == CONF


def test_a_checkpoint_that_is_not_there_yet_is_empty(spark: SparkSession, tmp_path: Path) -> None:
    checkpoint = Checkpoint(spark, (tmp_path / "new").as_uri())
    checkpoint.check()
    assert (checkpoint.query_id(), dict(checkpoint.conf())) == (None, {})


DAMAGE = {
    "metadata that is no JSON": ("metadata", b"{"),
    "empty metadata": ("metadata", b""),
    "an empty offsets file": ("offsets/1", b""),
    "offsets that are cut short": ("offsets/1", b'v1\n{"batchWatermarkMs":1'),
    "the offsets of the batch before": ("offsets/0", b"v1\n"),
    "an empty commit": ("commits/0", b""),
}


@pytest.mark.parametrize(("name", "content"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named(spark: SparkSession, folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"the checkpoint is damaged: .*/{name} "):
        Checkpoint(spark, folder.as_uri()).check()


def test_a_wrong_checksum_is_damage_too(spark: SparkSession, folder: Path) -> None:
    (folder / "offsets/.1.crc").write_bytes(b"crc\x00\x00\x00\x02\x00\x12\x34\x56\x78")
    with pytest.raises(ConfigError, match="the checkpoint is damaged: .*/offsets/1 "):
        Checkpoint(spark, folder.as_uri()).check()


def test_commits_without_metadata_are_refused(spark: SparkSession, folder: Path) -> None:
    (folder / "metadata").unlink()
    with pytest.raises(ConfigError, match="has commits but no metadata file"):
        Checkpoint(spark, folder.as_uri()).check()
