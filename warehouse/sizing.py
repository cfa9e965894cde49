"""From a site's pageviews a day to what it needs, what it costs and which settings it wants. Plain arithmetic."""

from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any

from contract.settings import number, setting, switch
from warehouse import costs

DAY_S = 86_400
MONTH_DAYS = 365 / 12
GIB = 2**30
ACTIVE_DAYS = 90


def price(given: str) -> float:
    """Dollars, from 0."""
    return _decimal(given, 0)


def ratio(given: str) -> float:
    """A number from 1, also with decimals."""
    return _decimal(given, 1)


def _decimal(given: str, least: int) -> float:
    whole, _, decimals = given.partition(".")
    if not (given.isascii() and whole.isdigit() and (decimals or "0").isdigit()) or float(given) < least:
        raise ValueError(f"want a number from {least}, also with decimals, got {given!r}")
    return float(given)


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """Settings of `webevents plan`."""

    pageviews_per_day: int = setting(number, help="pageviews of a usual day")
    peak: float = setting(ratio, default=5.0, help="the busiest minutes as a multiple of the day's average")
    pageviews_per_session: float = setting(
        ratio, default=costs.PAGEVIEWS_PER_SESSION, help="pageviews of one visitor in one window"
    )
    trigger: int = setting(number, default=180, help="seconds between batches, as the job's --trigger")
    shuffle_partitions: int = setting(number, default=8, help="partitions of the state, as the job's")
    keep_days: int = setting(number, default=365, help="days that tables and objects are kept")
    retention_days: int = setting(number, default=7, help="days that Kafka keeps messages")
    replicas: int = setting(number, default=3, help="copies that Kafka keeps of a message")
    vcpu_hour_price: float = setting(price, default=costs.VCPU_HOUR, help="a vCPU with its memory, an hour")
    dataproc_vcpu_hour_price: float = setting(
        price, default=costs.DATAPROC_VCPU_HOUR, help="Dataproc's fee on a vCPU, an hour"
    )
    bigquery_gib_month_price: float = setting(
        price, default=costs.BIGQUERY_GIB_MONTH, help="active logical storage, a GiB and month; older is half of it"
    )
    storage_gib_month_price: float = setting(
        price, default=costs.STORAGE_GIB_MONTH, help="Cloud Storage, a GiB and month"
    )
    kafka_month_price: float = setting(price, default=0.0, help="what your Kafka costs a month, if it is to count")
    json: bool = setting(switch, default=False, help="print the plan as JSON")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the site takes. Of a day, unless the name says otherwise."""

    peak_per_s: float
    job_cores: int
    collector_cores: int
    workers: int
    cluster_vcpus: int
    batches: int
    loads_per_table: int
    pageviews_per_peak_batch: int
    files_per_batch: int
    peak_state_bytes: int
    topic_bytes: int
    kafka_disk_bytes: int
    object_bytes: int
    table_bytes: int
    operations: int
    invocations: int
    bigquery_calls: int


@dataclass(frozen=True)
class Plan:
    """Needs, dollars a month by part, and what to set."""

    settings: PlanSettings
    needs: Needs
    month: dict[str, float]
    advice: list[str] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether BigQuery bears the load jobs."""
        return self.needs.loads_per_table <= costs.LOADS_PER_TABLE

    @property
    def per_million(self) -> float:
        """Dollars a million pageviews."""
        return sum(self.month.values()) / (self.settings.pageviews_per_day * MONTH_DAYS / 1e6)

    def to_json(self) -> dict[str, Any]:
        """For machines. Money is in dollars."""
        return {
            "fits": self.fits,
            "needs": asdict(self.needs),
            "month": {**{part: round(money, 2) for part, money in self.month.items()}, "sum": self.sum},
            "per_million_pageviews": round(self.per_million, 4),
            "advice": self.advice,
            "settings": asdict(self.settings),
            "assumptions": assumptions(self.settings),
        }

    @property
    def sum(self) -> float:
        """Dollars a month."""
        return round(sum(self.month.values()), 2)


def make_plan(settings: PlanSettings) -> Plan:
    """Needs, money and advice."""
    needs = reckon(settings)
    return Plan(settings, needs, to_money(settings, needs), advise(settings, needs))


def reckon(given: PlanSettings) -> Needs:
    """What the site takes."""
    pageviews = given.pageviews_per_day
    # A batch without a pageview publishes nothing, so a tiny site has fewer than the clock gives.
    ticks = ceil(DAY_S / given.trigger)
    batches = min(ticks, pageviews)
    peak_per_s = pageviews / DAY_S * given.peak
    job_cores = _cores(peak_per_s * costs.JOB_CPU_S / 1e6 + costs.BATCH_CPU_S / given.trigger)
    workers = max(costs.WORKERS, ceil(job_cores / costs.WORKER_VCPUS))
    peak_batch = ceil(peak_per_s * given.trigger)
    peak_bytes = peak_batch * costs.EVENTS_OBJECT_BYTES
    files = ceil(peak_bytes / costs.OBJECT_BYTES) if peak_bytes > 2 * costs.OBJECT_BYTES else 1
    session_bytes = costs.SESSIONS_ROW_BYTES / given.pageviews_per_session + costs.SESSIONS_HIT_BYTES
    open_pageviews = peak_per_s * (costs.WINDOW_S + costs.WATERMARK_S)
    return Needs(
        peak_per_s=round(peak_per_s, 3),
        job_cores=job_cores,
        collector_cores=_cores(peak_per_s * costs.COLLECTOR_CPU_S / 1e6),
        workers=workers,
        cluster_vcpus=costs.WORKER_VCPUS * (workers + 1),
        batches=batches,
        loads_per_table=batches,
        pageviews_per_peak_batch=peak_batch,
        files_per_batch=files,
        peak_state_bytes=ceil(open_pageviews * costs.STATE_BYTES),
        topic_bytes=pageviews * costs.TOPIC_BYTES,
        kafka_disk_bytes=pageviews * costs.TOPIC_BYTES * given.retention_days * given.replicas,
        object_bytes=pageviews * (costs.EVENTS_OBJECT_BYTES + costs.SESSIONS_OBJECT_BYTES),
        table_bytes=ceil(pageviews * (costs.EVENTS_TABLE_BYTES + session_bytes)),
        operations=ticks * (costs.OPERATIONS_PER_BATCH + costs.OPERATIONS_PER_PARTITION * given.shuffle_partitions),
        invocations=batches * (costs.OBJECTS_PER_BATCH + (2 * files if files > 1 else 0)),
        bigquery_calls=2 * batches * costs.CALLS_PER_LOAD,
    )


def _cores(busy: float) -> int:
    return max(1, ceil(busy / costs.BUSY))


def to_money(given: PlanSettings, needs: Needs) -> dict[str, float]:
    """Dollars a month by part; storage as it is once everything has been kept for keep_days."""
    hours = MONTH_DAYS * 24
    active = min(given.keep_days, ACTIVE_DAYS)
    active_gib = needs.table_bytes * active / GIB
    old_gib = needs.table_bytes * (given.keep_days - active) / GIB
    old_gib = max(0.0, old_gib - max(0.0, costs.BIGQUERY_FREE_GIB - active_gib))
    active_gib = max(0.0, active_gib - costs.BIGQUERY_FREE_GIB)
    old_price = given.bigquery_gib_month_price * costs.BIGQUERY_OLD_SHARE
    calls = max(0.0, needs.invocations * MONTH_DAYS - costs.INVOCATIONS_FREE)
    function_s = max(0.0, 2 * needs.loads_per_table * costs.FUNCTION_S * MONTH_DAYS - costs.FUNCTION_FREE_S)
    return {
        "cluster": needs.cluster_vcpus * hours * given.vcpu_hour_price,
        "Dataproc": needs.cluster_vcpus * hours * given.dataproc_vcpu_hour_price,
        "collector": needs.collector_cores * hours * given.vcpu_hour_price,
        "BigQuery storage": active_gib * given.bigquery_gib_month_price + old_gib * old_price,
        "BigQuery loads": 0.0,
        "Cloud Storage bytes": needs.object_bytes * given.keep_days / GIB * given.storage_gib_month_price,
        "Cloud Storage operations": needs.operations * MONTH_DAYS / 1000 * costs.OPERATIONS_1000,
        "function": calls / 1e6 * costs.INVOCATIONS_MILLION + function_s * costs.FUNCTION_VCPU_S,
        "Kafka": given.kafka_month_price,
    }


def shortest_trigger(loads: int) -> int:
    """The shortest trigger with which a day has at most so many batches."""
    return ceil(DAY_S / loads)


def advise(given: PlanSettings, needs: Needs) -> list[str]:
    """What to set, the most pressing first; empty where the defaults do."""
    said, loads = [], needs.loads_per_table
    shortest, calm = shortest_trigger(costs.LOADS_PER_TABLE), shortest_trigger(costs.LOADS_ADVISED)
    if loads > costs.LOADS_PER_TABLE:
        said.append(
            f"--trigger {given.trigger} makes {loads:,} load jobs a table a day; BigQuery takes "
            f"{costs.LOADS_PER_TABLE:,}, failures included. Choose --trigger {calm}; below {shortest} it cannot work"
        )
    elif loads > costs.LOADS_ADVISED:
        said.append(
            f"--trigger {given.trigger} makes {loads:,} load jobs a table a day and leaves "
            f"{costs.LOADS_PER_TABLE - loads:,} for those that fail. --trigger {calm} leaves a third"
        )
    if needs.pageviews_per_peak_batch > costs.MAX_OFFSETS:
        wanted = ceil(2 * needs.pageviews_per_peak_batch / 100_000) * 100_000
        said.append(
            f"a batch at the peak has {needs.pageviews_per_peak_batch:,} pageviews and the job reads "
            f"{costs.MAX_OFFSETS:,} at most: --max-offsets-per-trigger {wanted}, so that it also catches up"
        )
    if needs.files_per_batch > 1:
        said.append(f"the archive's object would be large: --files-per-batch {needs.files_per_batch}")
    if needs.workers > costs.WORKERS:
        cores = needs.workers * costs.WORKER_VCPUS
        said.append(f"provision with --workers {needs.workers}; --shuffle-partitions {cores} before the first start")
    return said


def assumptions(given: PlanSettings) -> dict[str, Any]:
    """The constants of warehouse/costs.py by their names; a flag's value where it stands for one."""
    constants = {name.lower(): value for name, value in vars(costs).items() if isinstance(value, int | float)}
    flags = {name.removesuffix("_price"): value for name, value in asdict(given).items()}
    return {name: flags.get(name, value) for name, value in constants.items()}
