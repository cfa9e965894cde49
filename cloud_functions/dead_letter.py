"""Records of loads that cannot succeed: what it takes to see why, and to load the object by hand."""

import json
from typing import Any

from google.api_core.exceptions import Forbidden, PreconditionFailed
from google.cloud.storage import Client as StorageClient

from cloud_functions.event import FinalizedBatch
from contract.names import dead_letter_name

CALL_S = 20.0
ERRORS_KEPT = 10


class DeadLetters:
    """Writes one record for each object, however often its event comes."""

    def __init__(self, client: StorageClient, bucket_uri: str | None) -> None:
        self.client = client
        self.bucket = bucket_uri.removeprefix("gs://") if bucket_uri else None

    def write(self, found: FinalizedBatch, load: str, error: dict[str, Any], *, job: str | None, errors: Any) -> str:
        """Create the record unless it is there; its address. `load` is the object's first load id."""
        record = {
            "bucket": found.bucket,
            "object": found.batch.name,
            "generation": str(found.generation),
            "table": found.batch.kind.table,
            "batchKey": found.batch.batch_key,
            "job": job,
            "reason": error.get("reason"),
            "message": error.get("message"),
            "errors": list(errors or ())[:ERRORS_KEPT],
        }
        blob = self.client.bucket(self.bucket or found.bucket).blob(dead_letter_name(load))
        text = json.dumps(record, indent=1, ensure_ascii=False, default=str)
        try:
            blob.upload_from_string(text, content_type="application/json", if_generation_match=0, timeout=CALL_S)
        except (PreconditionFailed, Forbidden):
            # The function's account may create and not replace: either can be the answer for a record that is there.
            if not blob.exists(timeout=CALL_S):
                raise
        return f"gs://{blob.bucket.name}/{blob.name}"
