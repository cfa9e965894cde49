"""state.json: what runs and where, written after each start, so that whatever was started can be stopped."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from contract.failures import ConfigError
from local.processes import Process

FILE = "state.json"
FORMAT = 1
LOCK = "lock"
"""There in every folder that a local cloud has used."""


@dataclass
class Part:
    """One running part: its process and its address."""

    process: Process
    address: str
    ready_s: float


@dataclass
class State:
    """The parts that were started, in order, and the names that their users need."""

    folder: Path
    project: str
    dataset: str
    bucket: str
    parts: dict[str, Part] = field(default_factory=dict)

    def write(self) -> None:
        """Replace the file whole."""
        fields = {"format": FORMAT, **asdict(self), "folder": str(self.folder)}
        scratch = self.folder / f"{FILE}.new"
        scratch.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
        scratch.replace(self.folder / FILE)


def log_of(folder: Path, name: str) -> Path:
    """The log of a part."""
    return folder / "logs" / f"{name}.log"


def read_state(folder: Path) -> State | None:
    """What the last `up` left, or None. Raises ConfigError for a file that is not readable."""
    path = folder / FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        parts = {
            name: Part(Process(**part["process"]), part["address"], part["ready_s"])
            for name, part in fields["parts"].items()
        }
        return State(folder, fields["project"], fields["dataset"], fields["bucket"], parts)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not readable ({error!r}): stop what runs by hand, then delete it") from error


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep a second `up` or `down` of the same folder away. Raises ConfigError while another one works."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another webevents up or down works on {folder} at this moment") from error
        yield
