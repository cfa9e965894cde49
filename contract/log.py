"""One JSON line an event, in the form that Cloud Logging reads."""

import json
import logging
import sys
from datetime import datetime, timezone
from typing import TextIO

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """severity, time (UTC), logger, message, then the fields given as `extra`.

    Messages are constants and values are fields, so that lines can be counted. No address, cookie or
    query string of a visitor belongs in a field. All is ASCII: no value ends the line, commands a
    terminal, or holds half a character that the stream would refuse.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON; values that JSON does not know are written as text."""
        line = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to(stream: TextIO = sys.stderr, *, level: int = logging.INFO) -> None:
    """Send the process's log to `stream` as JSON lines. For entry points; replaces earlier handlers."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("py4j", "urllib3", "google"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
