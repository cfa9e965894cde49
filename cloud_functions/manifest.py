"""A manifest: the part files of one large batch, which one load job reads together."""

import io
import json
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud.storage import Client as StorageClient

from cloud_functions.event import FinalizedBatch

CALL_S = 20.0
MANIFEST_BYTES = 4 * 1024 * 1024
"""Twice what a load job's 10,000 addresses take; the function has 512 MiB for eight events at a time."""


class UnreadableManifestError(ValueError):
    """The manifest does not say which objects to load, and no later delivery will make it."""


def read_uris(client: StorageClient, found: FinalizedBatch) -> list[str]:
    """The part files that the manifest lists, as gs:// addresses of its own bucket.

    Raises UnreadableManifestError, also for an address elsewhere: the function reads with rights of its own.
    """
    blob = client.bucket(found.bucket).blob(found.batch.name, generation=found.generation)
    content = _Bounded()
    try:
        blob.download_to_file(content, timeout=CALL_S)
        uris = json.loads(content.getvalue())["uris"]
    except NotFound as error:
        raise UnreadableManifestError(f"it is gone: {error}") from error
    except UnreadableManifestError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableManifestError(f"no list of uris in it: {error!r}") from error
    prefix = f"gs://{found.bucket}/parts/"
    if not isinstance(uris, list) or not uris or not all(isinstance(u, str) and u.startswith(prefix) for u in uris):
        raise UnreadableManifestError(f"its uris are not addresses below {prefix}")
    return uris


class _Bounded(io.BytesIO):
    """Takes a manifest as it arrives, and no more: so its size need not be asked for before."""

    def write(self, part: Any) -> int:
        if self.tell() + len(part) > MANIFEST_BYTES:
            raise UnreadableManifestError(f"it has more than {MANIFEST_BYTES} bytes")
        return super().write(part)
