"""One event, one line of JSON, whatever stands in its fields."""

import io
import json
import logging
import sys

import pytest

from contract.log import JsonFormatter


def line(value: object, *, fault: bool = False) -> str:
    """What one event with this field writes, through UTF-8 as the process's own stream has it."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    caught = None
    if fault:
        try:
            raise ValueError(value)
        except ValueError:
            caught = sys.exc_info()
    record = logging.LogRecord("collector", logging.WARNING, __file__, 1, "refused", (), caught)
    record.given = value
    handler.emit(record)
    stream.flush()
    return raw.getvalue().decode()


HOSTILE = {
    "a line's end and a forged event": 'a\n{"severity": "ERROR"}\r\n',
    "a terminal's command": "\x1b[2J\x9b31m",
    "line ends of other alphabets": "a\u2028b\u2029c\x85d",
    "text that turns around": "\u202egpj.exe",
    "half a character": "\ud83d",
    "a quote": '"},"x":{"',
    "no text": object,
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("fault", [False, True], ids=["in a field", "in a traceback too"])
def test_no_value_leaves_its_line(value: object, fault: bool) -> None:
    written = line(value, fault=fault)
    assert written.isascii() and written.endswith("\n") and written[:-1].isprintable()
    fields = json.loads(written)
    assert (fields["severity"], fields["message"]) == ("WARNING", "refused")
    assert fields["given"] == (value if isinstance(value, str) else str(value))
    assert ("exception" in fields) is fault


def test_a_line_says_when_what_and_who() -> None:
    fields = json.loads(line(1))
    assert list(fields) == ["severity", "time", "logger", "message", "given"]
    assert (fields["logger"], fields["given"]) == ("collector", 1)
    assert fields["time"].endswith("+00:00")
