"""Jobs: an id is taken once and for ever; the effect of a job and its end stand in one transaction."""

import logging
import re
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb

from local.bigquery import loads, queries
from local.bigquery.catalog import Catalog, Resource, Store
from local.bigquery.errors import BigQueryError, invalid, not_found, refused
from local.bigquery.faults import Fault, failure
from local.bigquery.objects import Objects
from local.bigquery.resources import now_ms, table_key

LOG = logging.getLogger(__name__)
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
LOADS_PER_TABLE_PER_DAY = 1500
DEFAULT_LOCATIONS = ("us", "eu")


class LiveJob:
    """A job that has not ended: its resource, and the events by which others wait for it or stop it."""

    def __init__(self, body: Resource) -> None:
        self.body = body
        self.done = threading.Event()
        self.cancelled = threading.Event()
        self.cursor: duckdb.DuckDBPyConnection | None = None


class Jobs:
    """Takes jobs, runs them, remembers them."""

    def __init__(self, store: Store, objects: Objects, *, loads_per_table: int = LOADS_PER_TABLE_PER_DAY) -> None:
        self.store = store
        self.objects = objects
        self.results = queries.Results(store)
        self.loads_per_table = loads_per_table
        self.live: dict[str, LiveJob] = {}
        self.pool = ThreadPoolExecutor(8, thread_name_prefix="job")
        self._end_interrupted()

    def insert(self, project: str, given: Resource, fault: Fault | None = None) -> Resource:
        """Take the job and start it. Raises BigQueryError 'duplicate' where the id was ever used."""
        body = new_job(project, given)
        if "load" in body["configuration"]:
            loads.check(body["configuration"]["load"])
        else:
            queries.check(body["configuration"]["query"])
        if body["configuration"].get("dryRun"):
            return self._dry_run(body)
        job = LiveJob(body)
        key = job_key(body["jobReference"])
        with self.store.write() as catalog:
            self._locate(catalog, body)
            catalog.create("job", key, body)
            refusal = self._count_load(catalog, body)
        self.live[key] = job
        self.pool.submit(self._run, job, fault, refusal)
        return body

    def get(self, project: str, job_id: str, location: str | None, *, wait_s: float = 0.0) -> Resource:
        """The job as it stands, after at most `wait_s` seconds of waiting for its end.

        Raises BigQueryError 'notFound'; jobs outside US and EU are found only with their location.
        """
        key = f"{project}.{job_id}"
        live = self.live.get(key)
        if live is not None:
            live.done.wait(wait_s)
        with self.store.read() as catalog:
            body = live.body if live is not None and not live.done.is_set() else catalog.find("job", key)
        place = (body or {}).get("jobReference", {}).get("location", "").lower()
        if body is None or (location.lower() != place if location else place not in DEFAULT_LOCATIONS):
            raise not_found("Job", f"{project}:{job_id}")
        return body

    def cancel(self, project: str, job_id: str, location: str | None) -> Resource:
        """Ask the job to stop; one that has ended stays as it is."""
        body = self.get(project, job_id, location)
        live = self.live.get(f"{project}.{job_id}")
        if live is not None:
            live.cancelled.set()
            if live.cursor is not None:
                live.cursor.interrupt()
            live.done.wait(1)
            body = self.get(project, job_id, location)
        return body

    def newest(self, project: str, asked: Mapping[str, str]) -> list[Resource]:
        """The project's jobs, the newest first, as `asked` by stateFilter and minCreationTime, maxCreationTime."""
        with self.store.read() as catalog:
            found = {job_key(body["jobReference"]): body for body in catalog.under("job", project)}
        found.update({key: job.body for key, job in self.live.copy().items() if key in found})
        first, last = int(asked.get("minCreationTime") or 0), int(asked.get("maxCreationTime") or 1 << 62)
        states = [state.upper() for state in asked.get("stateFilter", "").split(",") if state]
        chosen = [
            {**body, "state": body["status"]["state"]}
            for body in found.values()
            if first <= int(body["statistics"]["creationTime"]) <= last
            and (not states or body["status"]["state"] in states)
        ]
        return sorted(chosen, key=lambda body: int(body["statistics"]["creationTime"]), reverse=True)

    def close(self) -> None:
        """Let the running jobs end."""
        self.pool.shutdown()

    def _locate(self, catalog: Catalog, body: Resource) -> None:
        """A load runs where its dataset lies, unless the request names a place."""
        if "location" in body["jobReference"]:
            return
        key = table_key(body["configuration"]["load"]["destinationTable"]) if "load" in body["configuration"] else ""
        dataset = catalog.find("dataset", key.rpartition(".")[0]) or {}
        body["jobReference"]["location"] = dataset.get("location", "US")

    def _count_load(self, catalog: Catalog, body: Resource) -> BigQueryError | None:
        if "load" not in body["configuration"]:
            return None
        target = table_key(body["configuration"]["load"]["destinationTable"])
        if catalog.count_load(target) < self.loads_per_table:
            return None
        message = "Quota exceeded: Your table exceeded quota for imports or query appends per table"
        return BigQueryError("quotaExceeded", f"{message}: {self.loads_per_table} a day")

    def _dry_run(self, body: Resource) -> Resource:
        if "query" not in body["configuration"]:
            raise refused("dry runs of load jobs")
        with self.store.read() as catalog:
            statistics = queries.plan(catalog, body)
        return ended({**body, "jobReference": {**body["jobReference"], "location": "US"}}, statistics, None)

    def _run(self, job: LiveJob, fault: Fault | None, refusal: BigQueryError | None) -> None:
        key = job_key(job.body["jobReference"])
        try:
            job.body = {**job.body, "status": {"state": "RUNNING"}}
            job.body["statistics"] = {**job.body["statistics"], "startTime": str(now_ms())}
            if fault is not None and fault.fault == "slow":
                job.cancelled.wait(fault.seconds)
            self._end(key, job, refusal or (failure(fault) if fault else None))
        finally:
            job.done.set()
            self.live.pop(key, None)

    def _end(self, key: str, job: LiveJob, refusal: BigQueryError | None) -> None:
        try:
            if job.cancelled.is_set():
                raise BigQueryError("stopped", "Job execution was cancelled: User requested cancellation")
            if refusal is not None:
                raise refusal
            self._execute(key, job)
        except Exception as raised:  # noqa: BLE001 - a job always ends, whatever it met
            error = _translate(raised, cancelled=job.cancelled.is_set())
            LOG.info("job failed", extra={"job": key, "reason": error.reason, "detail": error.message})
            with self.store.write() as catalog:
                catalog.put("job", key, ended(job.body, {}, error))

    def _execute(self, key: str, job: LiveJob) -> None:
        config = job.body["configuration"]
        if "load" in config:
            with self.store.write() as catalog:
                job.cursor = catalog.cursor
                statistics = {"load": loads.run(catalog, self.objects, config["load"], self.store.scratch)}
                catalog.put("job", key, ended(job.body, statistics, None))
            return
        queries.run(self.store, self.results, key, job, lambda statistics: ended(job.body, statistics, None))

    def _end_interrupted(self) -> None:
        """Jobs that a killed process left behind had no effect, since effect and end are one transaction."""
        error = BigQueryError("backendError", "The server stopped before the job ended; it had no effect")
        with self.store.write() as catalog:
            keys = catalog.cursor.execute(
                "SELECT key, body FROM meta.resources WHERE kind = 'job' AND NOT contains(body, '\"state\": \"DONE\"')"
            )
            for key, _ in keys.fetchall():
                catalog.put("job", key, ended(catalog.get("job", key), {}, error))


def new_job(project: str, given: Resource) -> Resource:
    """The resource of a job that is about to be taken. Raises BigQueryError for what no job can be."""
    config = given.get("configuration") or {}
    kinds = [kind for kind in ("load", "query") if kind in config]
    if not kinds:
        raise refused(f"jobs of the kind {', '.join(set(config) - {'labels', 'dryRun', 'jobTimeoutMs'}) or 'none'}")
    reference = {"projectId": project, **(given.get("jobReference") or {})}
    reference.setdefault("jobId", f"job_{uuid.uuid4().hex}")
    if not JOB_ID.fullmatch(str(reference["jobId"])):
        raise invalid(f"Invalid job ID {reference['jobId']!r}")
    if not reference.get("location"):
        reference.pop("location", None)
    created = {"creationTime": str(now_ms())}
    return {
        "kind": "bigquery#job",
        "id": f"{project}:{reference['jobId']}",
        "jobReference": reference,
        "configuration": {**config, "jobType": kinds[0].upper()},
        "status": {"state": "PENDING"},
        "statistics": created,
        "user_email": "local@localhost",
    }


def ended(body: Resource, statistics: dict[str, Any], error: BigQueryError | None) -> Resource:
    """The job's resource at its end."""
    times = {"startTime": str(now_ms()), **body["statistics"], "endTime": str(now_ms())}
    status: dict[str, Any] = {"state": "DONE"}
    if error is not None:
        status.update(errorResult=error.proto(), errors=[error.proto()])
    return {**body, "status": status, "statistics": {**times, **statistics}}


def job_key(reference: Resource) -> str:
    """Where the catalog keeps the job: project.jobId."""
    return f"{reference['projectId']}.{reference['jobId']}"


def _translate(raised: Exception, *, cancelled: bool) -> BigQueryError:
    if isinstance(raised, BigQueryError):
        return raised
    if isinstance(raised, duckdb.InterruptException) and cancelled:
        return BigQueryError("stopped", "Job execution was cancelled: User requested cancellation")
    if isinstance(raised, duckdb.Error):
        return BigQueryError("invalidQuery", str(raised))
    LOG.exception("job failed inside the stand-in")
    return BigQueryError("backendError", f"The stand-in failed: {type(raised).__name__} {raised}")
