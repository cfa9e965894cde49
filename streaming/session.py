"""The Spark session, and every setting that must stand before it or before the first batch."""

from typing import Any

from pyspark.java_gateway import ensure_callback_server_started
from pyspark.sql import SparkSession

PROVIDERS = {
    "rocksdb": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    "hdfs": "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider",
}
PROVIDER = "spark.sql.streaming.stateStore.providerClass"
PARTITIONS = "spark.sql.shuffle.partitions"

COMMITTERS = "org.apache.hadoop.mapreduce.lib.output"

SESSION_CONF = {
    "spark.sql.session.timeZone": "UTC",
    # Inferring filters from what the columns are made of takes 11 s a plan, against 0.2 s without, and finds none.
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    # Counting the rows of the state doubles the cost of every write to it.
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",
    # Rows that Python gets at a time: so many chunks or messages stay below Arrow's 2 GB. To look at their size after
    # each row would double the cost of handing them over.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "2000",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1),
    # Of Arrow's allocator in Python's workers: memory that is free goes back to the system after 10 s, not after 10 ms,
    # so that the next columns need not be given new pages.
    "spark.executorEnv.MIMALLOC_PURGE_DELAY": "10000",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    # Hadoop's default for gs:// fails and leaves visible files behind; checkpoints need the FileContext of gs://.
    "spark.hadoop.mapreduce.outputcommitter.factory.scheme.gs": f"{COMMITTERS}.FileOutputCommitterFactory",
    "spark.hadoop.fs.AbstractFileSystem.gs.impl": "com.google.cloud.hadoop.fs.gcs.GoogleHadoopFS",
}


def build_session(*, app: str, state_store: str) -> SparkSession:
    """The session of the process, with all settings of the job; master and jars are spark-submit's."""
    builder = SparkSession.builder.appName(app).config(PROVIDER, PROVIDERS[state_store])
    for key, value in SESSION_CONF.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    return spark


def both_ways(spark: SparkSession) -> Any:
    """The session's gateway to Java, over which Java can call Python, too."""
    gateway: Any = spark.sparkContext._gateway
    ensure_callback_server_started(gateway)  # type: ignore[no-untyped-call]
    return gateway


def is_local(master: str) -> bool:
    """Whether driver and executors are one process on one machine."""
    return master.split("[")[0] == "local"
