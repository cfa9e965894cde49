"""Objects at gs:// addresses, read through the JSON API of the storage server."""

import fnmatch
from collections.abc import Iterator
from typing import IO
from urllib.parse import quote

import requests

from local.bigquery.errors import BigQueryError, invalid, not_found

TIMEOUT_S = 60
CHUNK_BYTES = 1 << 20


class Objects:
    """Reads objects from the storage server at `address`, e.g. http://127.0.0.1:4443."""

    def __init__(self, address: str) -> None:
        self.api = f"{address.rstrip('/')}/storage/v1"

    def expand(self, uris: list[str]) -> list[str]:
        """The objects that the URIs stand for; one * in a URI stands for any characters.

        Raises BigQueryError 'notFound' where a pattern matches nothing.
        """
        return [found for uri in uris for found in (self._matching(uri) if "*" in uri else [uri])]

    def download(self, uri: str, target: IO[bytes]) -> None:
        """Write the object's bytes to `target` and rewind it. Raises BigQueryError 'notFound'."""
        bucket, name = split_uri(uri)
        try:
            address = f"{self.api}/b/{bucket}/o/{quote(name, safe='')}"
            with requests.get(address, params={"alt": "media"}, stream=True, timeout=TIMEOUT_S) as response:
                _check(response, uri)
                for chunk in response.iter_content(CHUNK_BYTES):
                    target.write(chunk)
        except requests.RequestException as error:
            raise BigQueryError("backendError", f"Cloud Storage cannot be read: {error}") from error
        target.seek(0)

    def _matching(self, uri: str) -> list[str]:
        bucket, name = split_uri(uri)
        if name.count("*") > 1:
            raise invalid(f"Invalid source URI {uri}: at most one wildcard")
        found = sorted(n for n in self._names(bucket, name.split("*")[0]) if fnmatch.fnmatchcase(n, _literal(name)))
        if not found:
            raise not_found("URI", uri)
        return [f"gs://{bucket}/{each}" for each in found]

    def _names(self, bucket: str, prefix: str) -> Iterator[str]:
        page: dict[str, str] = {"prefix": prefix}
        while True:
            response = requests.get(f"{self.api}/b/{bucket}/o", params=page, timeout=TIMEOUT_S)
            _check(response, f"gs://{bucket}")
            listing = response.json()
            yield from (item["name"] for item in listing.get("items", []))
            if not listing.get("nextPageToken"):
                return
            page["pageToken"] = listing["nextPageToken"]


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and object name. Raises BigQueryError 'invalid' for anything that is no gs:// address."""
    bucket, slash, name = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not slash or not bucket or not name:
        raise invalid(f"Source URI must be a Google Cloud Storage location: {uri}")
    return bucket, name


def _literal(name: str) -> str:
    return name.replace("[", "[[]").replace("?", "[?]")


def _check(response: requests.Response, uri: str) -> None:
    if response.status_code == requests.codes.not_found:
        raise not_found("URI", uri)
    if not response.ok:
        raise BigQueryError("backendError", f"Cloud Storage answered {response.status_code} for {uri}")
