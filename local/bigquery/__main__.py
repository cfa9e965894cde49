"""python -m local.bigquery --port P --state DIR --storage http://127.0.0.1:Q"""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from contract.failures import WebeventsError
from contract.log import log_to
from contract.settings import number, read_flags, setting, text
from local.bigquery.app import build_app
from local.bigquery.jobs import LOADS_PER_TABLE_PER_DAY

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of the stand-in's process."""

    port: int = setting(number, help="port on 127.0.0.1")
    state: Path = setting(Path, help="folder that keeps tables and jobs")
    storage: str = setting(text, help="address of the storage server that gs:// is read from")
    loads_per_table: int = setting(
        number, default=LOADS_PER_TABLE_PER_DAY, help="load jobs that a table takes a day, failed ones included"
    )


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM; running jobs end first."""
    try:
        settings = read_flags(
            ServerSettings, argv, prog="python -m local.bigquery", description="A stand-in for BigQuery."
        )
    except WebeventsError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    log_to()
    # uvicorn raises the signal again when it has ended: this handler, in the default's place, lets the rest run.
    signal.signal(signal.SIGTERM, lambda *_: None)
    app = build_app(settings.state, settings.storage, loads_per_table=settings.loads_per_table)
    try:
        uvicorn.run(app, host=HOST, port=settings.port, log_level="warning", log_config=None, access_log=False)
    finally:
        app.state.server.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
