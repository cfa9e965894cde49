"""Where objects are published: a Cloud Storage bucket or a folder. An object is created once and never overwritten."""

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import unquote, urlparse

from contract.failures import ConfigError, TransientError
from contract.settings import nearest

CHECK_WITHIN_S = 10.0
AVRO = "application/avro"
JSON = "application/json"


class Store(Protocol):
    """A place for objects. Names are the contract's."""

    def check(self) -> None:
        """Raise ConfigError or TransientError where nothing can be published there."""

    def exists(self, name: str) -> bool:
        """Whether the object was created."""

    def create_from(self, name: str, staged: str) -> bool:
        """Create the object with the content of the file at the URI `staged`; False where it was there before."""

    def create(self, name: str, content: bytes) -> bool:
        """Create the object with `content`; False where it was there before."""

    def read(self, name: str) -> bytes:
        """The object's content."""

    def names(self, prefix: str) -> list[str]:
        """The names that begin with `prefix`, in order."""

    def delete(self, name: str) -> None:
        """Delete the object; nothing happens where there is none. For part files of dead attempts only."""

    def uri(self, name: str) -> str:
        """The object's address."""


def open_store(target: str) -> Store:
    """The store at gs://bucket or file:///folder."""
    parts = urlparse(target)
    if parts.scheme == "gs":
        return BucketStore(parts.netloc)
    return FolderStore(to_path(target))


def to_path(uri: str) -> Path:
    """The path of a file: URI, in either of the spellings file:///a and file:/a."""
    return Path(unquote(urlparse(uri).path))


class FolderStore:
    """Objects as files below a folder. Content is never half visible: it is linked in when it is complete.

    A staged file becomes the object as it is; from another file system, or another user's, it is copied.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(self) -> None:
        """Create the folder; ConfigError where that cannot be done."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise ConfigError(f"cannot write to the target folder {self.root}: {error.strerror}") from error

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def create_from(self, name: str, staged: str) -> bool:
        final = self._place(name)
        with to_path(staged).open("rb") as content:
            try:
                return _link(content, final)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM):
                    raise
            return _copy(content, final)

    def create(self, name: str, content: bytes) -> bool:
        return _copy(io.BytesIO(content), self._place(name))

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def names(self, prefix: str) -> list[str]:
        found = (str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())
        return sorted(name for name in found if name.startswith(prefix))

    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    def _place(self, name: str) -> Path:
        """Where the object belongs, in a folder that is there."""
        final = self.root / name
        final.parent.mkdir(parents=True, exist_ok=True)
        return final


def _copy(content: IO[bytes], final: Path) -> bool:
    """A copy of the content as the object; False where there is one already."""
    with tempfile.NamedTemporaryFile(dir=final.parent, prefix=".", suffix=".new") as new:
        shutil.copyfileobj(content, new)
        new.flush()
        return _link(new, final)


def _link(complete: Any, final: Path) -> bool:
    """The file as the object, once it is on the disk; False where there is one already."""
    os.fsync(complete.fileno())
    os.fchmod(complete.fileno(), 0o644)
    try:
        os.link(complete.name, final)
    except FileExistsError:
        return False
    return True


class BucketStore:
    """Objects in a Cloud Storage bucket, created with if_generation_match=0.

    The client retries transient faults for up to two minutes; what then remains is a TransientError: the batch
    fails and Spark replays it. STORAGE_EMULATOR_HOST is honoured by the client, which then needs no account.
    """

    def __init__(self, bucket: str) -> None:
        storage = _client_library()
        with _translated(f"gs://{bucket}"):
            self.client = storage.Client()
            self.bucket = self.client.bucket(bucket)

    def check(self) -> None:
        from google.api_core.exceptions import NotFound
        from google.cloud.storage.retry import DEFAULT_RETRY

        uri = f"gs://{self.bucket.name}"
        with _translated(uri):
            try:
                once = DEFAULT_RETRY.with_timeout(CHECK_WITHIN_S)
                list(self.client.list_blobs(self.bucket, max_results=1, timeout=CHECK_WITHIN_S, retry=once))
            except NotFound:
                raise ConfigError(f"there is no bucket {uri}; {self._nearest()}") from None

    def exists(self, name: str) -> bool:
        with _translated(self.uri(name)):
            return bool(self.bucket.blob(name).exists())

    def create_from(self, name: str, staged: str) -> bool:
        blob = self.bucket.blob(name)
        with _translated(self.uri(name)):
            if urlparse(staged).scheme == "gs":
                return self._created(blob, _rewrite, blob, self._staged(staged))
            path = str(to_path(staged))
            return self._created(blob, blob.upload_from_filename, path, content_type=AVRO)

    def create(self, name: str, content: bytes) -> bool:
        blob = self.bucket.blob(name)
        with _translated(self.uri(name)):
            return self._created(blob, blob.upload_from_string, content, content_type=JSON)

    def read(self, name: str) -> bytes:
        with _translated(self.uri(name)):
            return bytes(self.bucket.blob(name).download_as_bytes())

    def names(self, prefix: str) -> list[str]:
        with _translated(self.uri(prefix)):
            return sorted(blob.name for blob in self.client.list_blobs(self.bucket, prefix=prefix))

    def delete(self, name: str) -> None:
        from google.api_core.exceptions import NotFound

        with _translated(self.uri(name)):
            try:
                self.bucket.blob(name).delete()
            except NotFound:
                return

    def uri(self, name: str) -> str:
        return f"gs://{self.bucket.name}/{name}"

    def _staged(self, uri: str) -> Any:
        parts = urlparse(uri)
        return self.client.bucket(parts.netloc).blob(unquote(parts.path.lstrip("/")))

    def _nearest(self) -> str:
        from google.api_core.exceptions import GoogleAPICallError

        try:
            return nearest(self.bucket.name, [bucket.name for bucket in self.client.list_buckets(max_results=100)])
        except (GoogleAPICallError, ValueError):
            return "create it, or correct --target"

    def _created(self, blob: Any, call: Any, *args: Any, **options: Any) -> bool:
        from google.api_core.exceptions import Forbidden, PreconditionFailed

        try:
            call(*args, **options, if_generation_match=0)
        except PreconditionFailed:
            return False
        except Forbidden:
            # The job's account may create and not replace: for an object that is there, that can be the answer.
            if not blob.exists():
                raise
            return False
        return True


def _rewrite(blob: Any, source: Any, **options: Any) -> None:
    """Copy on the server; large objects take several calls."""
    token, _, _ = blob.rewrite(source, **options)
    while token is not None:
        token, _, _ = blob.rewrite(source, token=token, **options)


def _client_library() -> Any:
    try:
        from google.cloud import storage
    except ModuleNotFoundError as error:
        raise ConfigError("a gs:// target needs google-cloud-storage: pip install google-cloud-storage") from error
    return storage


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """The vendor's exceptions as ours."""
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (exceptions.Forbidden, exceptions.Unauthorized, GoogleAuthError) as error:
        raise ConfigError(f"no access to {uri}: {_first_line(error)}") from error
    except (exceptions.GoogleAPICallError, exceptions.RetryError, requests.RequestException) as error:
        raise TransientError(f"Cloud Storage does not answer for {uri}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
