"""Google's clients, pointed at Google Cloud or, by Google's own variables, at the cloud on this machine."""

import os
import re

from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import bigquery
from google.cloud.storage import Client as StorageClient

from contract.failures import ConfigError

LOCAL_PROJECT = "local"


def dataset_name(given: str) -> str:
    """A dataset's name. It stands within the questions' text, where no parameter can."""
    if not re.fullmatch(r"\w{1,1024}", given, re.ASCII):
        raise ValueError(f"want letters, digits and _ as BigQuery's datasets have them, got {given!r}")
    return given


def bigquery_client(project: str | None, location: str | None) -> bigquery.Client:
    """A client of `project`, or of the environment's; without an account where BIGQUERY_EMULATOR_HOST is set.

    Raises ConfigError where there is neither an account nor a local cloud.
    """
    if os.environ.get("BIGQUERY_EMULATOR_HOST"):
        named = project or os.environ.get("GOOGLE_CLOUD_PROJECT") or LOCAL_PROJECT
        return bigquery.Client(project=named, credentials=AnonymousCredentials(), location=location)
    try:
        return bigquery.Client(project=project, location=location)
    except (DefaultCredentialsError, OSError) as error:
        raise no_account(error) from error


def storage_client(project: str | None) -> StorageClient:
    """The same for Cloud Storage and STORAGE_EMULATOR_HOST."""
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        named = project or os.environ.get("GOOGLE_CLOUD_PROJECT") or LOCAL_PROJECT
        return StorageClient(project=named, credentials=AnonymousCredentials())
    try:
        return StorageClient(project=project)
    except (DefaultCredentialsError, OSError) as error:
        raise no_account(error) from error


def no_account(error: Exception) -> ConfigError:
    """The sentence for a machine that knows neither Google Cloud nor a local one."""
    reason = str(error).split(". ")[0].splitlines()[0]
    return ConfigError(
        f"no Google Cloud account or project: {reason}. "
        "Run 'gcloud auth application-default login' and give --project, "
        'or point at the local cloud with: eval "$(webevents env)"'
    )
