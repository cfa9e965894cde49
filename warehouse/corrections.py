"""The numbered corrections in the bucket: Avro objects of session rows, each created once, loaded like any batch."""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import fastavro
from google.api_core.exceptions import Forbidden, PreconditionFailed
from google.cloud.storage import Bucket

from contract.failures import ConfigError
from contract.names import CORRECTIONS, BatchObject, Kind, parse_object_name
from contract.schemas import schema

AVRO = "application/avro"


class TakenError(Exception):
    """Another repair has created the correction of this number: read again and start over."""


def correction(number: int) -> BatchObject:
    """The object of the correction with that number, from 1."""
    return BatchObject(Kind.SESSIONS, CORRECTIONS, number)


def created(bucket: Bucket) -> set[int]:
    """The numbers of the corrections that have an object."""
    prefix = correction(0).name.rpartition("/")[0] + "/"
    names = (parse_object_name(blob.name) for blob in bucket.list_blobs(prefix=prefix))
    return {name.batch_id for name in names if name is not None}


def event_ids(bucket: Bucket, number: int) -> Iterator[str]:
    """The eventIds that the correction's object holds."""
    content = bucket.blob(correction(number).name).download_as_bytes()
    record = schema(Kind.SESSIONS.schema)
    only = {**record, "fields": [field for field in record["fields"] if field["name"] == "eventIds"]}
    for row in fastavro.reader(io.BytesIO(content), reader_schema=only):
        assert isinstance(row, dict)
        yield from row["eventIds"]


def create(bucket: Bucket, number: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Create the correction's object, whole or not at all.

    Raises TakenError where it is there already, and ConfigError where the account may not create it.
    """
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(schema(Kind.SESSIONS.schema)), rows, codec="deflate")
    blob = bucket.blob(correction(number).name)
    try:
        blob.upload_from_string(file.getvalue(), content_type=AVRO, if_generation_match=0)
    except PreconditionFailed as error:
        raise TakenError from error
    except Forbidden as error:
        # An account that may create and not replace: for an object that is there, that is the answer.
        if blob.exists():
            raise TakenError from error
        raise ConfigError(
            f"no leave to create gs://{bucket.name}/{blob.name}: {error.message}; "
            "--repair needs roles/storage.objectCreator on the bucket"
        ) from error
