"""BigQuery's REST paths, as far as Google's client uses them."""

import gzip
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import duckdb
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.bigquery import api
from local.bigquery.api import Call, Server
from local.bigquery.errors import BigQueryError, invalid
from local.bigquery.faults import failure

Handler = Callable[[Server, Call], Any]

DATASETS = "/bigquery/v2/projects/{project}/datasets"
TABLES = f"{DATASETS}/{{dataset}}/tables"
JOBS = "/bigquery/v2/projects/{project}/jobs"
QUERIES = "/bigquery/v2/projects/{project}/queries"

PATHS: list[tuple[str, str, str, Handler]] = [
    ("GET", DATASETS, "datasets.list", api.list_datasets),
    ("POST", DATASETS, "datasets.insert", api.insert_dataset),
    ("GET", f"{DATASETS}/{{dataset}}", "datasets.get", api.get_dataset),
    ("PATCH", f"{DATASETS}/{{dataset}}", "datasets.patch", api.patch_dataset),
    ("DELETE", f"{DATASETS}/{{dataset}}", "datasets.delete", api.delete_dataset),
    ("GET", TABLES, "tables.list", api.list_tables),
    ("POST", TABLES, "tables.insert", api.insert_table),
    ("GET", f"{TABLES}/{{table}}", "tables.get", api.get_table),
    ("PATCH", f"{TABLES}/{{table}}", "tables.patch", api.patch_table),
    ("DELETE", f"{TABLES}/{{table}}", "tables.delete", api.delete_table),
    ("GET", f"{TABLES}/{{table}}/data", "tabledata.list", api.list_rows),
    ("GET", JOBS, "jobs.list", api.list_jobs),
    ("POST", JOBS, "jobs.insert", api.insert_job),
    ("GET", f"{JOBS}/{{job}}", "jobs.get", api.get_job),
    ("POST", f"{JOBS}/{{job}}/cancel", "jobs.cancel", api.cancel_job),
    ("POST", QUERIES, "jobs.query", api.query),
    ("GET", f"{QUERIES}/{{job}}", "jobs.getQueryResults", api.query_results),
    # The test's own switches, no part of BigQuery.
    ("GET", "/faults", "", api.show_faults),
    ("POST", "/faults", "", api.add_fault),
    ("DELETE", "/faults", "", api.clear_faults),
]


def build_app(state: Path, storage: str, *, loads_per_table: int) -> Starlette:
    """The server over the files in `state`, reading gs:// from the storage server at `storage`."""
    server = Server(state, storage, loads_per_table=loads_per_table)
    routes = [Route(path, _endpoint(server, name, do), methods=[method]) for method, path, name, do in PATHS]
    app = Starlette(routes=routes, exception_handlers={404: _unknown, 405: _unknown})
    app.state.server = server
    return app


def _endpoint(server: Server, name: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            call = await _read(request)
            return await run_in_threadpool(_answer, server, name, handler, call)
        except BigQueryError as error:
            return JSONResponse(error.body(), status_code=error.status)
        except duckdb.Error as error:
            return JSONResponse(invalid(str(error)).body(), status_code=invalid("").status)

    return endpoint


async def _read(request: Request) -> Call:
    content = await request.body()
    if request.headers.get("content-encoding") == "gzip":
        content = gzip.decompress(content)
    try:
        body = json.loads(content) if content else {}
    except ValueError as error:
        raise invalid(f"Invalid JSON payload received: {error}") from error
    return Call(dict(request.path_params), dict(request.query_params), body, request.headers.get("if-match"))


def _answer(server: Server, name: str, handler: Handler, call: Call) -> Response:
    fault = server.faults.take(name) if name else None
    if fault is not None and name == "jobs.insert" and fault.fault in ("slow", "quota", "job_error"):
        call.fault = fault
    elif fault is not None:
        if fault.fault == "slow":
            time.sleep(fault.seconds)
        if fault.fault == "error_after":
            handler(server, call)
        error = failure(fault)
        if error is not None:
            raise error
    answer = handler(server, call)
    return Response(status_code=204) if answer is None else JSONResponse(answer)


async def _unknown(request: Request, _: Exception) -> Response:
    error = BigQueryError(
        "notImplemented", f"The BigQuery stand-in does not support {request.method} {request.url.path}"
    )
    return JSONResponse(error.body(), status_code=error.status)
