"""The loader over Google's clients, or over the local cloud where BIGQUERY_EMULATOR_HOST points to one."""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.storage import Client as StorageClient

from cloud_functions.load import Loader
from cloud_functions.settings import Settings


def build_loader(settings: Settings, environ: Mapping[str, str]) -> Loader:
    """A loader with clients of its own."""
    options: dict[str, Any] = {"project": settings.project}
    if environ.get("BIGQUERY_EMULATOR_HOST"):
        options["credentials"] = AnonymousCredentials()
    warehouse = bigquery.Client(location=settings.location, **options)
    return Loader(settings, warehouse, StorageClient(**options), now=_now)


def _now() -> datetime:
    return datetime.now(timezone.utc)  # noqa: TID251 - the function's entry point
