"""The Avro schemas of the contract, by name and version."""

import json
from functools import cache
from importlib import resources
from typing import Any

NAMES = ("pageview", "session", "event", "bad_event")


def schema_text(name: str, version: int = 1) -> str:
    """The schema's JSON text as published, e.g. schema_text("session").

    A published version never changes: a new meaning is a new version beside the old one.
    """
    return (resources.files(__name__) / f"{name}.v{version}.avsc").read_text(encoding="utf-8")


@cache
def schema(name: str, version: int = 1) -> dict[str, Any]:
    """The schema as parsed JSON: type, name, namespace, fields. Shared: do not change it."""
    parsed: dict[str, Any] = json.loads(schema_text(name, version))
    return parsed


def field_names(name: str, version: int = 1) -> tuple[str, ...]:
    """The schema's field names, in the order of the file."""
    return tuple(field["name"] for field in schema(name, version)["fields"])
