"""Parts that are started once for the whole run of tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """tests/conformance runs against the stand-in, or against BigQuery itself when these are given."""
    parser.addoption("--bigquery", metavar="PROJECT", help="run tests/conformance against BigQuery in this project")
    parser.addoption("--bucket", metavar="NAME", help="with --bigquery: a bucket in the US that its loads may read")


@pytest.fixture(scope="session")
def spark() -> "Iterator[object]":
    """The one Spark session of the run: local, two cores, two shuffle partitions, UTC, the job's own settings."""
    pyspark = pytest.importorskip("pyspark")
    # Otherwise Spark looks the host's name up, which not every machine's resolver knows.
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.sql import SparkSession

    from streaming.session import PROVIDER, PROVIDERS, SESSION_CONF

    line = "spark-" + ".".join(pyspark.__version__.split(".")[:2])
    jars = sorted((ROOT / "jars" / line).glob("*.jar"))
    assert jars, f"the jars are missing: python jars/fetch.py {line}"
    conf = {
        **SESSION_CONF,
        PROVIDER: PROVIDERS["rocksdb"],
        "spark.jars": ",".join(map(str, jars)),
        "spark.ui.enabled": "false",
        "spark.pyspark.python": sys.executable,
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        # The tests' batches are small: compiling each plan anew would be most of the time.
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC -XX:TieredStopAtLevel=1",
        "spark.sql.codegen.wholeStage": "false",
    }
    builder = SparkSession.builder.master("local[2]").appName("webevents tests")
    for key, value in conf.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with the product's topics; take topics of your own for what must be alone."""
    from local import broker

    process, servers = broker.start(tmp_path_factory.mktemp("broker"))
    yield servers
    process.stop()


@pytest.fixture(scope="session")
def storage_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Cloud Storage server with the bucket "webevents"."""
    from local import storage

    process, url = storage.start(tmp_path_factory.mktemp("storage"), bucket="webevents")
    yield url
    process.stop()


@pytest.fixture(scope="session")
def bigquery_url(tmp_path_factory: pytest.TempPathFactory, storage_url: str) -> Iterator[str]:
    """BigQuery's stand-in, which loads from the storage server."""
    from local import warehouse

    process, url = warehouse.start(tmp_path_factory.mktemp("warehouse"), storage_url=storage_url)
    yield url
    process.stop()


@pytest.fixture
def emulated(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with STORAGE_EMULATOR_HOST pointing at it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_url)
    return storage_url
