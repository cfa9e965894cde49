"""The numbers that `webevents plan` reckons with: what was measured of a pageview, what Google allows and asks for.

What the plan reckons with stands here only; docs/performance.md says how it was measured. Prices are dollars at
us-central1, without taxes and discounts.
"""

# What is in ESTIMATES is not measured; of all else docs/performance.md has how, and on what.

SESSIONS_CPU_S = 15.3
"""CPU-seconds of the sessions query per million pageviews, once it runs, on cores of kind B. docs/performance.md"""
ARCHIVE_CPU_S = 23.9
"""The same of the archive query, which writes each pageview. docs/performance.md"""
JOB_CPU_S = SESSIONS_CPU_S + ARCHIVE_CPU_S
"""CPU-seconds of the Spark job per million pageviews."""
BATCH_CPU_S = 2.6
"""CPU-seconds of a batch of both queries, beside those of what is in it. docs/performance.md"""
COLLECTOR_CPU_S = 34.0
"""CPU-seconds of the collector per million pageviews. docs/performance.md; bench/collector/README.md"""
TOPIC_BYTES = 489
"""Bytes of a pageview in the topic, key and value, uncompressed. docs/performance.md"""
EVENTS_OBJECT_BYTES = 134
"""Bytes of a pageview in an object of events, Avro with snappy. docs/performance.md"""
SESSIONS_OBJECT_BYTES = 84
"""Bytes of a pageview in an object of sessions, its share of the row. docs/performance.md"""
EVENTS_TABLE_BYTES = 351
"""Logical bytes of a pageview in table events, by BigQuery's sizes of types. docs/performance.md"""
SESSIONS_ROW_BYTES, SESSIONS_HIT_BYTES = 295, 146
"""The same of a row of table sessions, and of each pageview in it. docs/performance.md"""
STATE_BYTES = 57
"""Bytes of state of one pageview in an open window, at 50,000 a task and batch. docs/performance.md"""
PAGEVIEWS_PER_SESSION = 2.8
"""Pageviews in a row of sessions. docs/performance.md"""
OBJECTS_PER_BATCH = 3
"""Objects that a batch publishes: events, sessions, the batch record. Part files come on top. docs/performance.md"""
OPERATIONS_PER_BATCH = 20
"""Class A operations of a batch beside its state: staging, publishing, offsets, commits. An estimate."""
OPERATIONS_PER_PARTITION = 2
"""Class A operations of a batch for each partition of the state: the delta is written and renamed. docs/deploy.md"""
CALLS_PER_LOAD = 2
"""Calls to BigQuery for one object: insert, get. bench/function/README.md, docs/performance.md"""
FUNCTION_S = 5.0
"""Seconds that one object's load keeps the function waiting, at BigQuery's usual pace. An estimate."""
ESTIMATES = frozenset({"OPERATIONS_PER_BATCH", "FUNCTION_S"})
"""The names above that nobody has measured."""

# Limits.

LOADS_PER_TABLE = 1_500
"""Load jobs a table a day, failures included; Google does not raise it."""
LOADS_ADVISED = 1_000
"""As many leave a third of the limit for loads that fail and come again."""
OBJECT_BYTES = 256_000_000
"""Size of a file where a batch is written in several; from twice as much on it should be."""
MAX_OFFSETS = 10_000_000
"""Messages a batch at most, as streaming/settings.py has it."""
WINDOW_S, WATERMARK_S = 1_800, 200
"""How long a session's state is kept: its window, and the delay of the watermark. As streaming/settings.py has them."""
BUSY = 0.5
"""Share of the cores that the peak may use; the rest is for catching up after an outage."""
WORKER_VCPUS, WORKERS = 4, 2
"""A machine of the cluster and the fewest workers, as scripts/provision.sh has them; the master is one more."""

# Prices. Written down in 2026-11 from memory, not looked up.
# "List price" is what Google asks at us-central1: check it before you rely on it.

VCPU_HOUR = 0.0486
"""A vCPU with 4 GiB for an hour, on demand: n2-standard-4 is 0.1942 an hour. List price, check it."""
DATAPROC_VCPU_HOUR = 0.010
"""Dataproc's own fee on each vCPU of the cluster. List price, check it."""
BIGQUERY_GIB_MONTH = 0.02
"""Logical storage, active: changed within 90 days. The first 10 GiB are free. List price, check it."""
BIGQUERY_OLD_SHARE = 0.5
"""What partitions cost that nothing has changed for 90 days, as a share of the active ones. List price, check it."""
BIGQUERY_FREE_GIB = 10
STORAGE_GIB_MONTH = 0.02
"""Cloud Storage, standard class, one region. List price, check it."""
OPERATIONS_1000 = 0.005
"""Thousand class A operations; with a hierarchical namespace some more. List price, check it."""
INVOCATIONS_MILLION, INVOCATIONS_FREE = 0.40, 2_000_000
"""A million calls of a function, and the calls a month that are free. List price, check it."""
FUNCTION_VCPU_S, FUNCTION_FREE_S = 0.000024, 180_000
"""A second of a function's vCPU, and the seconds a month that are free. List price, check it."""
