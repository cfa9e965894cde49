"""The whole cloud on one machine: its parts in order, started together and stopped together."""

import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from contract.failures import ConfigError
from contract.names import DATASET
from contract.settings import count, number, setting, text
from local import broker, collector, function_host, processes, storage, warehouse
from local.deliveries import undelivered
from local.processes import ROOT, Process
from local.state import FILE, Part, State, log_of, only_one, read_state

FOLDER = ".webevents"
JOURNAL = "bridge/deliveries.jsonl"


def port(given: str) -> int:
    """A port from 1 to 65535."""
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= 65535:
        raise ValueError(f"want a port from 1 to 65535, got {given!r}")
    return int(given)


Say = Callable[[str, str, float], None]
"""Hears of a part that is ready: its name, its address, the seconds it took."""


def silent(name: str, address: str, ready_s: float) -> None:
    """Says nothing."""


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """Settings of the local cloud. A port not given is chosen free."""

    state: Path = setting(Path, default=Path(FOLDER), help="folder of all data, logs and addresses")
    kafka_port: int | None = setting(port, default=None, help="port of the broker; a free one if not given")
    storage_port: int | None = setting(port, default=None, help="port of the storage server")
    bigquery_port: int | None = setting(port, default=None, help="port of the warehouse")
    function_port: int | None = setting(port, default=None, help="port of the function host")
    collector_port: int | None = setting(port, default=None, help="port of the collector")
    partitions: int = setting(number, default=broker.PARTITIONS, help="partitions of a new topic")
    bucket: str = setting(text, default="webevents", help="bucket that the job publishes to")
    project: str = setting(text, default="local", help="project that the warehouse's tables lie in")
    dataset: str = setting(text, default=DATASET, help="dataset of the tables")
    deliveries: int = setting(number, default=1, help="times that each storage event is delivered, for tests")
    shuffle_seed: int | None = setting(count, default=None, help="deliver storage events out of order, for tests")


@dataclass
class Stack:
    """A running cloud. Its parts can be killed and started again one by one, each at its old address."""

    settings: StackSettings
    state: State
    say: Say = silent
    noting: Lock = field(default_factory=Lock)

    @property
    def kafka_servers(self) -> str:
        """host:port of the broker."""
        return self.state.parts["broker"].address

    @property
    def storage_url(self) -> str:
        """What STORAGE_EMULATOR_HOST says."""
        return self.state.parts["storage"].address

    @property
    def bigquery_url(self) -> str:
        """What BIGQUERY_EMULATOR_HOST says."""
        return self.state.parts["warehouse"].address

    @property
    def function_url(self) -> str:
        """Where the bridge posts the events."""
        return self.state.parts["function"].address

    @property
    def collector_url(self) -> str:
        """Where a page's tag comes from, and where it sends."""
        return self.state.parts["collector"].address

    @property
    def bucket(self) -> str:
        """The bucket that the job publishes to."""
        return self.state.bucket

    @property
    def project(self) -> str:
        """The project of the tables."""
        return self.state.project

    @property
    def dataset(self) -> str:
        """The dataset of the tables."""
        return self.state.dataset

    @property
    def journal(self) -> Path:
        """The bridge's journal, for local.deliveries."""
        return self.state.folder / JOURNAL

    def environment(self) -> dict[str, str]:
        """Variables that point Google's clients and the commands' flags at this cloud."""
        return environment(self.state)

    def process(self, name: str) -> Process:
        """The process of a part, to look at or to kill."""
        return self.state.parts[name].process

    def undelivered(self) -> list[str]:
        """Objects of the bucket that the function has not acknowledged yet."""
        return undelivered(self.storage_url, self.bucket, self.journal)

    def start_part(self, name: str) -> None:
        """Start one part: at its old address when it ran before. What is left of it is stopped first."""
        began = time.monotonic()
        before = self.state.parts.get(name)
        if before is not None:
            before.process.stop()
        process, address = STARTERS[name](self, _port_of(before))
        ready_s = round(time.monotonic() - began, 1)
        with self.noting:
            self.state.parts[name] = Part(process, address, ready_s)
            self.state.write()
            self.say(name, address, ready_s)

    def stop_part(self, name: str) -> None:
        """Stop one part and keep its data and its address."""
        self.process(name).stop()

    def stop(self) -> None:
        """Stop all parts, the last one first. Data stays."""
        stop_left(self.state.folder)


def start(settings: StackSettings, say: Say = silent) -> Stack:
    """Start all parts and create the tables; `say` hears of each part that is ready: name, address, seconds.

    Raises ConfigError when one cannot start, or when this state folder's cloud runs already; then nothing that was
    started here is left running.
    """
    folder = settings.state.resolve()
    with only_one(folder):
        if running(folder):
            raise ConfigError(f"the local cloud of {folder} runs already")
        stop_left(folder)
        state = State(folder, settings.project, settings.dataset, settings.bucket)
        stack = Stack(settings, state, say)
        with ThreadPoolExecutor(1) as beside:
            try:
                _start_all(stack, beside)
            except BaseException:
                _give_up(stack, beside)
                raise
    return stack


def _start_all(stack: Stack, beside: ThreadPoolExecutor) -> None:
    """The parts in order, the broker beside the others: it takes as long as all, and only the last needs it."""
    first, *others, last = STARTERS
    broker_start = beside.submit(stack.start_part, first)
    for name in others:
        stack.start_part(name)
        if broker_start.done():
            broker_start.result()
    broker_start.result()
    stack.start_part(last)


def _give_up(stack: Stack, beside: ThreadPoolExecutor) -> None:
    """Stop what runs, and what the start of the broker still brings."""
    stack.say = silent
    stack.stop()
    beside.shutdown()
    stack.stop()


def stop(folder: Path) -> bool:
    """Stop what runs of the cloud of `folder`; False when there was nothing to stop."""
    if not folder.is_dir():
        return False
    with only_one(folder):
        return stop_left(folder)


def stop_left(folder: Path) -> bool:
    """Stop whatever was started on `folder`, the last part first, also by an `up` that was killed; True if it ran."""
    ran = [processes.stop_left(log_of(folder, name)) for name in reversed(STARTERS)]
    (folder / FILE).unlink(missing_ok=True)
    return any(ran)


def running(folder: Path) -> State | None:
    """The cloud of `folder` while any part of it runs."""
    state = read_state(folder)
    return state if state and any(part.process.alive() for part in state.parts.values()) else None


def environment(state: State) -> dict[str, str]:
    """The variables of a running cloud."""
    return {
        "STORAGE_EMULATOR_HOST": state.parts["storage"].address,
        "BIGQUERY_EMULATOR_HOST": state.parts["warehouse"].address,
        "GOOGLE_CLOUD_PROJECT": state.project,
        "KAFKA_SERVERS": state.parts["broker"].address,
        "COLLECTOR_URL": state.parts["collector"].address,
        "BUCKET": state.bucket,
    }


def _start_broker(stack: Stack, at: int | None) -> tuple[Process, str]:
    wanted = at or stack.settings.kafka_port
    return broker.start(stack.state.folder, port=wanted, partitions=stack.settings.partitions)


def _start_storage(stack: Stack, at: int | None) -> tuple[Process, str]:
    return storage.start(stack.state.folder, bucket=stack.bucket, port=at or stack.settings.storage_port)


def _start_warehouse(stack: Stack, at: int | None) -> tuple[Process, str]:
    wanted = at or stack.settings.bigquery_port
    process, url = warehouse.start(stack.state.folder, storage_url=stack.storage_url, port=wanted)
    try:
        warehouse.apply_tables(url, stack.project, stack.dataset)
    except BaseException:
        process.kill()
        raise
    return process, url


def _start_function(stack: Stack, at: int | None) -> tuple[Process, str]:
    variables: Mapping[str, str] = {
        "STORAGE_EMULATOR_HOST": stack.storage_url,
        "BIGQUERY_EMULATOR_HOST": stack.bigquery_url,
        "WEBEVENTS_PROJECT": stack.project,
        "WEBEVENTS_DATASET": stack.dataset,
        "WEBEVENTS_LOCATION": "US",
    }
    return function_host.start(stack.state.folder, variables, port=at or stack.settings.function_port)


def _start_bridge(stack: Stack, at: int | None) -> tuple[Process, str]:
    command: list[str | Path] = [sys.executable, "-m", "local.bridge", "--journal", stack.journal]
    command += ["--storage", stack.storage_url, "--function", stack.function_url, "--bucket", stack.bucket]
    command += ["--deliveries", str(stack.settings.deliveries)]
    if stack.settings.shuffle_seed is not None:
        command += ["--shuffle-seed", str(stack.settings.shuffle_seed)]
    process = processes.start(
        "bridge", command, log=log_of(stack.state.folder, "bridge"), ready=stack.journal.is_file, cwd=ROOT
    )
    return process, f"gs://{stack.bucket} -> {stack.function_url}"


def _start_collector(stack: Stack, at: int | None) -> tuple[Process, str]:
    return collector.start(stack.state.folder, servers=stack.kafka_servers, port=at or stack.settings.collector_port)


def _port_of(part: Part | None) -> int | None:
    return int(part.address.rpartition(":")[2]) if part else None


STARTERS: dict[str, Callable[[Stack, int | None], tuple[Process, str]]] = {
    "broker": _start_broker,
    "storage": _start_storage,
    "warehouse": _start_warehouse,
    "function": _start_function,
    "bridge": _start_bridge,
    "collector": _start_collector,
}
"""The parts in the order of their starts."""
