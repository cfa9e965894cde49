"""Jobs: an id is taken for ever, states are told, effects outlive a crash, faults can be switched on."""

import time
import uuid

import pytest
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, InternalServerError, NotFound
from google.cloud import bigquery

from tests.conformance.conftest import StandIn, Warehouse, avro

pytestmark = pytest.mark.stack

ROW = avro({"id": "long"}, [{"id": 1}])
BAD = b"no avro"


def new_id() -> str:
    return f"conformance-{uuid.uuid4().hex}"


@pytest.mark.parametrize("content", [pytest.param(ROW, id="that was done"), pytest.param(BAD, id="that failed")])
def test_a_job_id_is_taken_for_ever_by_a_job(warehouse: Warehouse, content: bytes) -> None:
    table, uri, job_id = warehouse.table("id INT64"), warehouse.put(content), new_id()
    warehouse.load(uri, table, job_id=job_id)
    before = warehouse.client.get_table(table).num_rows
    with pytest.raises(Conflict, match="Already Exists: Job"):
        warehouse.begin(warehouse.put(ROW), table, job_id=job_id)
    assert warehouse.client.get_table(table).num_rows == before


def test_a_job_is_asked_for_by_id_and_tells_its_end(warehouse: Warehouse) -> None:
    table = warehouse.table("id INT64")
    done, failed = new_id(), new_id()
    warehouse.load(warehouse.put(ROW), table, job_id=done)
    warehouse.load(warehouse.put(BAD), table, job_id=failed)
    job = warehouse.client.get_job(done, location="US")
    assert (job.state, job.error_result, job.output_rows, job.job_type) == ("DONE", None, 1, "load")
    assert job.created <= job.started <= job.ended
    job = warehouse.client.get_job(failed, location="US")
    assert (job.state, job.error_result["reason"]) == ("DONE", "invalid")
    assert job.errors
    with pytest.raises(BadRequest):
        job.result()


def test_an_unknown_job_and_one_of_another_place_are_not_found(warehouse: Warehouse) -> None:
    table, job_id = warehouse.table("id INT64"), new_id()
    warehouse.load(warehouse.put(ROW), table, job_id=job_id)
    for name, location in ((new_id(), "US"), (job_id, "europe-west1")):
        with pytest.raises(NotFound):
            warehouse.client.get_job(name, location=location)


def test_jobs_are_listed_newest_first(warehouse: Warehouse) -> None:
    table, ids = warehouse.table("id INT64"), [new_id(), new_id()]
    for job_id in ids:
        warehouse.load(warehouse.put(ROW), table, job_id=job_id)
    listed = [job.job_id for job in warehouse.client.list_jobs(max_results=50)]
    assert listed.index(ids[1]) < listed.index(ids[0])


def test_a_job_that_runs_says_so_and_can_be_cancelled(warehouse: Warehouse, stand_in_only: StandIn) -> None:
    table, job_id = warehouse.table("id INT64"), new_id()
    stand_in_only.fault(fault="slow", on="jobs.insert", seconds=30)
    job = warehouse.begin(warehouse.put(ROW), table, job_id=job_id)
    assert warehouse.client.get_job(job_id).state in ("PENDING", "RUNNING")
    with pytest.raises(Conflict):
        warehouse.begin(warehouse.put(ROW), table, job_id=job_id)
    warehouse.client.cancel_job(job_id)
    job.exception(timeout=10)
    assert job.error_result["reason"] == "stopped"
    assert warehouse.client.get_table(table).num_rows == 0


def test_loads_of_a_table_are_counted_failed_ones_too(warehouse: Warehouse, stand_in_only: StandIn) -> None:
    table, other = warehouse.table("id INT64"), warehouse.table("id INT64", "other")
    stand_in_only.fault(loadsPerTable=3)
    assert warehouse.load(warehouse.put(BAD), table).error_result["reason"] == "invalid"
    for _ in range(2):
        assert warehouse.load(warehouse.put(ROW), table).error_result is None
    refused = warehouse.load(warehouse.put(ROW), table)
    assert refused.error_result["reason"] == "quotaExceeded"
    assert isinstance(refused.exception(), Forbidden)
    assert warehouse.load(warehouse.put(ROW), other).error_result is None
    assert warehouse.client.get_table(table).num_rows == 2


def test_everything_outlives_a_kill_and_a_restart(warehouse: Warehouse, stand_in_only: StandIn) -> None:
    table, done, cut = warehouse.table("id INT64"), new_id(), new_id()
    uri = warehouse.put(ROW)
    warehouse.load(uri, table, job_id=done)
    stand_in_only.fault(fault="slow", on="jobs.insert", seconds=60)
    warehouse.begin(uri, table, job_id=cut)
    stand_in_only.process.kill()
    stand_in_only.start()
    warehouse.client = stand_in_only.client()
    assert warehouse.rows("SELECT id FROM {d}.t") == [(1,)]
    assert warehouse.client.get_job(done).error_result is None
    job = warehouse.client.get_job(cut)
    assert (job.state, job.error_result["reason"]) == ("DONE", "backendError")
    for job_id in (done, cut):
        with pytest.raises(Conflict):
            warehouse.begin(uri, table, job_id=job_id)


@pytest.mark.parametrize(("fault", "rows"), [("error_before", 0), ("error_after", 1)])
def test_a_500_can_be_switched_on_before_and_after_the_effect(
    warehouse: Warehouse, stand_in_only: StandIn, fault: str, rows: int
) -> None:
    table, job_id = warehouse.table("id INT64"), new_id()
    stand_in_only.fault(fault=fault, on="jobs.insert")
    config = bigquery.LoadJobConfig(source_format="AVRO")
    with pytest.raises(InternalServerError):
        warehouse.client.load_table_from_uri(warehouse.put(ROW), table, job_id=job_id, job_config=config, retry=None)
    try:
        warehouse.client.get_job(job_id).result()
    except NotFound:
        assert rows == 0
    assert warehouse.client.get_table(table).num_rows == rows


def test_after_a_500_that_took_effect_the_client_meets_a_conflict(warehouse: Warehouse, stand_in_only: StandIn) -> None:
    table = warehouse.table("id INT64")
    stand_in_only.fault(fault="error_after", on="jobs.insert")
    with pytest.raises(Conflict):
        warehouse.begin(warehouse.put(ROW), table, job_id=new_id())


def test_a_job_can_be_made_to_fail_and_the_next_one_passes(warehouse: Warehouse, stand_in_only: StandIn) -> None:
    table = warehouse.table("id INT64")
    for fault, reason in (("job_error", "backendError"), ("quota", "quotaExceeded")):
        stand_in_only.fault(fault=fault, on="jobs.insert")
        assert warehouse.load(warehouse.put(ROW), table).error_result["reason"] == reason
    assert warehouse.load(warehouse.put(ROW), table).error_result is None


def test_an_answer_can_be_made_slow(warehouse: Warehouse, stand_in_only: StandIn) -> None:
    table = warehouse.table("id INT64")
    stand_in_only.fault(fault="slow", on="tables.get", seconds=0.3)
    began = time.monotonic()
    warehouse.client.get_table(table)
    assert time.monotonic() - began >= 0.3


def test_fifty_small_loads_are_quick(warehouse: Warehouse, stand_in_only: StandIn) -> None:
    table, uri = warehouse.table("id INT64"), warehouse.put(ROW)
    began = time.monotonic()
    for _ in range(50):
        assert warehouse.load(uri, table).error_result is None
    assert warehouse.client.get_table(table).num_rows == 50
    assert time.monotonic() - began < 25  # five times what a quiet machine takes
