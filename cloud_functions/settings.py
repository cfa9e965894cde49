"""Settings of the function, from variables that begin with WEBEVENTS_."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from contract.names import DATASET
from contract.settings import read_env, seconds, setting, text

PREFIX = "WEBEVENTS_"


def bucket_uri(given: str) -> str:
    """gs://bucket"""
    if not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/?", given):
        raise ValueError(f"want gs://bucket, got {given!r}")
    return given.rstrip("/")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the rows go, and how long one call may wait."""

    dataset: str = setting(text, help="dataset of the tables", default=DATASET)
    project: str | None = setting(text, help="project of the dataset and the jobs; else the function's", default=None)
    location: str | None = setting(text, help="location of the dataset, e.g. EU; else BigQuery finds it", default=None)
    dead_letter: str | None = setting(
        bucket_uri, help="bucket for records of loads that cannot succeed; else the object's own", default=None
    )
    wait_s: int = setting(seconds, help="how long to wait for a load job; below the function's timeout", default=45)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings. Raises ConfigError with all faults at once."""
    return read_env(Settings, environ, prefix=PREFIX)
