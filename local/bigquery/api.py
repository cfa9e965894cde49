"""What each path does: from a call to the resource that answers it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.bigquery import resources, statements, wire
from local.bigquery.catalog import Resource, Store
from local.bigquery.errors import BigQueryError, invalid
from local.bigquery.faults import Fault, Faults
from local.bigquery.fields import from_duckdb
from local.bigquery.jobs import Jobs, job_key
from local.bigquery.objects import Objects
from local.bigquery.resources import listed, patch, shown

BRIEF_WAIT_S = 0.5
QUERY_WAIT_S = 10.0
LIST_SIZE = 1000


class Server:
    """What all requests share."""

    def __init__(self, state: Path, storage: str, *, loads_per_table: int) -> None:
        self.store = Store(state)
        self.jobs = Jobs(self.store, Objects(storage), loads_per_table=loads_per_table)
        self.faults = Faults()

    def close(self) -> None:
        """Let running jobs end and write everything to disk."""
        self.jobs.close()
        self.store.close()


@dataclass
class Call:
    """One request: the names in its path, its parameters, its body, and what its answer depends on."""

    path: dict[str, str]
    asked: dict[str, str]
    body: dict[str, Any]
    if_match: str | None = None
    fault: Fault | None = None

    @property
    def dataset(self) -> str:
        """project.dataset"""
        return f"{self.path['project']}.{self.path['dataset']}"

    @property
    def table(self) -> str:
        """project.dataset.table"""
        return f"{self.dataset}.{self.path['table']}"


def _page(call: Call, kind: str, name: str, found: list[Resource]) -> Resource:
    start = int(call.asked.get("pageToken") or 0)
    size = int(call.asked.get("maxResults") or LIST_SIZE)
    answer: Resource = {"kind": f"bigquery#{kind}", name: found[start : start + size]}
    if start + size < len(found):
        answer["nextPageToken"] = str(start + size)
    return answer


def _check_etag(call: Call, resource: Resource) -> None:
    if call.if_match not in (None, "*", resource["etag"]):
        raise BigQueryError("conditionNotMet", "Precondition Failed: the resource was changed in between")


def list_datasets(server: Server, call: Call) -> Resource:
    """GET datasets"""
    with server.store.read() as catalog:
        return _page(
            call, "datasetList", "datasets", [listed(d) for d in catalog.under("dataset", call.path["project"])]
        )


def insert_dataset(server: Server, call: Call) -> Resource:
    """POST datasets"""
    resources.check_name(call.body["datasetReference"]["datasetId"], hyphen=False)
    body = resources.make_dataset(call.body, call.path["project"])
    with server.store.write() as catalog:
        catalog.create("dataset", f"{call.path['project']}.{body['datasetReference']['datasetId']}", body)
    return body


def get_dataset(server: Server, call: Call) -> Resource:
    """GET datasets/d"""
    with server.store.read() as catalog:
        return catalog.get("dataset", call.dataset)


def patch_dataset(server: Server, call: Call) -> Resource:
    """PATCH datasets/d"""
    with server.store.write() as catalog:
        before = catalog.get("dataset", call.dataset)
        _check_etag(call, before)
        after = patch(before, call.body)
        catalog.put("dataset", call.dataset, after)
    return after


def delete_dataset(server: Server, call: Call) -> None:
    """DELETE datasets/d"""
    with server.store.write() as catalog:
        resources.delete_dataset(catalog, call.dataset, contents=call.asked.get("deleteContents", "").lower() == "true")


def list_tables(server: Server, call: Call) -> Resource:
    """GET tables"""
    with server.store.read() as catalog:
        catalog.get("dataset", call.dataset)
        found = [listed(table) for table in catalog.under("table", call.dataset)]
    return {**_page(call, "tableList", "tables", found), "totalItems": len(found)}


def insert_table(server: Server, call: Call) -> Resource:
    """POST tables"""
    reference = {"projectId": call.path["project"], "datasetId": call.path["dataset"]}
    given = {**call.body, "tableReference": {**reference, "tableId": call.body["tableReference"]["tableId"]}}
    resources.check_name(given["tableReference"]["tableId"], hyphen=True)
    with server.store.write() as catalog:
        if given.get("view"):
            given["schema"] = {"fields": _view_fields(catalog, given)}
        body = resources.make_table(catalog, given)
        catalog.create("table", resources.table_key(given["tableReference"]), body)
        return shown(catalog, body)


def _view_fields(catalog: Any, given: Resource) -> list[Resource]:
    if given["view"].get("useLegacySql", True) is True:
        raise invalid("Views in legacy SQL are not supported by the BigQuery stand-in")
    job = {
        "jobReference": {"projectId": given["tableReference"]["projectId"]},
        "configuration": {"query": {}},
        "statistics": {"creationTime": str(resources.now_ms())},
    }
    sql = statements.Translator(catalog, job).query(statements.parse(given["view"]["query"]))
    described = catalog.cursor.execute(f"SELECT * FROM ({sql}) LIMIT 0").description
    return [from_duckdb(column[0], column[1]) for column in described]


def get_table(server: Server, call: Call) -> Resource:
    """GET tables/t"""
    with server.store.read() as catalog:
        return shown(catalog, catalog.get("table", call.table))


def patch_table(server: Server, call: Call) -> Resource:
    """PATCH tables/t"""
    with server.store.write() as catalog:
        before = catalog.get("table", call.table)
        _check_etag(call, before)
        after = patch(before, call.body)
        if "view" in before and call.body.get("view"):
            given = {**before, "view": {**call.body["view"], "useLegacySql": False}}
            after |= {"view": given["view"], "schema": {"fields": _view_fields(catalog, given)}}
        elif call.body.get("schema"):
            after = resources.change_schema(catalog, after, call.body["schema"]["fields"])
        catalog.put("table", call.table, after)
        return shown(catalog, after)


def delete_table(server: Server, call: Call) -> None:
    """DELETE tables/t"""
    with server.store.write() as catalog:
        catalog.delete("table", call.table)


def list_rows(server: Server, call: Call) -> Resource:
    """GET tables/t/data"""
    with server.store.read() as catalog:
        table = catalog.get("table", call.table)
        if "_rows" not in table:
            raise invalid(f"Cannot list a table of type VIEW: {table['id']}")
        fields = table["schema"]["fields"]
        chosen = call.asked.get("selectedFields")
        if chosen:
            fields = [field for field in fields if field["name"] in chosen.split(",")]
        return {"kind": "bigquery#tableDataList", **wire.page(catalog.cursor, table["_rows"], fields, call.asked)}


def list_jobs(server: Server, call: Call) -> Resource:
    """GET jobs, the newest first"""
    found = server.jobs.newest(call.path["project"], call.asked)
    return _page(call, "jobList", "jobs", found)


def insert_job(server: Server, call: Call) -> Resource:
    """POST jobs; the answer waits a little for the end of a short job"""
    taken = server.jobs.insert(call.path["project"], call.body, call.fault)
    if taken["configuration"].get("dryRun"):
        return taken
    reference = taken["jobReference"]
    return server.jobs.get(reference["projectId"], reference["jobId"], reference["location"], wait_s=BRIEF_WAIT_S)


def get_job(server: Server, call: Call) -> Resource:
    """GET jobs/j"""
    return server.jobs.get(call.path["project"], call.path["job"], call.asked.get("location"), wait_s=BRIEF_WAIT_S)


def cancel_job(server: Server, call: Call) -> Resource:
    """POST jobs/j/cancel"""
    job = server.jobs.cancel(call.path["project"], call.path["job"], call.asked.get("location"))
    return {"kind": "bigquery#jobCancelResponse", "job": job}


OF_QUERY = ("query", "defaultDataset", "queryParameters", "parameterMode", "useQueryCache", "maximumBytesBilled")
OF_ANSWER = {"kind", "maxResults", "timeoutMs", "dryRun", "requestId", "location", "formatOptions", "labels",
             "useLegacySql", "jobCreationMode", "jobTimeoutMs"}  # fmt: skip


def query(server: Server, call: Call) -> Resource:
    """POST queries: insert the job, wait for it, answer with the first page"""
    project, body = call.path["project"], call.body
    strange = {name: value for name, value in body.items() if name not in OF_ANSWER and name not in OF_QUERY}
    config = {name: body[name] for name in OF_QUERY if name in body} | strange
    config["useLegacySql"] = body.get("useLegacySql", True)
    digest = hashlib.sha256(str(body.get("requestId")).encode()).hexdigest()[:32]
    reference = {"jobId": f"job_{digest}"} if body.get("requestId") else {}
    job = {
        "jobReference": {**reference, **({"location": body["location"]} if body.get("location") else {})},
        "configuration": {"query": config, "dryRun": bool(body.get("dryRun")), "labels": body.get("labels", {})},
    }
    try:
        taken = server.jobs.insert(project, job)
    except BigQueryError as error:
        if error.reason != "duplicate" or not reference:
            raise
        taken = server.jobs.get(project, reference["jobId"], body.get("location"))
    if body.get("dryRun"):
        plan = taken["statistics"]["query"]
        return {"jobComplete": True, "totalBytesProcessed": "0", "schema": plan.get("schema", {"fields": []})}
    asked = {f"formatOptions.{name}": value for name, value in (body.get("formatOptions") or {}).items()}
    asked |= {name: body[name] for name in ("maxResults", "timeoutMs") if name in body}
    return _results(server, taken["jobReference"], asked)


def query_results(server: Server, call: Call) -> Resource:
    """GET queries/j"""
    reference = {"projectId": call.path["project"], "jobId": call.path["job"]}
    return _results(server, {**reference, "location": call.asked.get("location")}, call.asked)


def _results(server: Server, reference: Resource, asked: dict[str, Any]) -> Resource:
    wait_s = int(asked["timeoutMs"]) / 1000 if "timeoutMs" in asked else QUERY_WAIT_S
    job = server.jobs.get(reference["projectId"], reference["jobId"], reference["location"], wait_s=wait_s)
    answer: Resource = {"kind": "bigquery#queryResponse", "jobReference": job["jobReference"], "jobComplete": False}
    if job["status"]["state"] != "DONE":
        return answer
    error = job["status"].get("errorResult")
    if error is not None:
        raise BigQueryError(error["reason"], error["message"])
    statistics = job["statistics"].get("query")
    if statistics is None:
        raise invalid(f"Job {job['id']} is no query job")
    answer |= {"jobComplete": True, "cacheHit": False, "totalBytesProcessed": "0"}
    if statistics["statementType"] == "SELECT":
        return answer | server.jobs.results.page(job_key(job["jobReference"]), asked)
    return answer | {name: statistics[name] for name in ("numDmlAffectedRows", "dmlStats") if name in statistics}


def show_faults(server: Server, _: Call) -> Resource:
    """GET /faults: what is switched on"""
    return {"faults": server.faults.shown(), "loadsPerTable": server.jobs.loads_per_table}


def add_fault(server: Server, call: Call) -> Resource:
    """POST /faults: switch a fault on, or set loadsPerTable"""
    if "loadsPerTable" in call.body:
        server.jobs.loads_per_table = int(call.body["loadsPerTable"])
    else:
        server.faults.add(call.body)
    return show_faults(server, call)


def clear_faults(server: Server, call: Call) -> Resource:
    """DELETE /faults: switch all off"""
    server.faults.clear()
    return show_faults(server, call)
