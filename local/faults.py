"""Faults on purpose: kill -9 of the collector, the broker, the job and the function under load, drawn from a seed."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TypeVar

from contract.failures import TransientError
from local import processes
from local.job import wait_until
from local.points import Files, Point, files_of, wait_for
from local.processes import birth_of
from local.run import Run, read_metric
from local.state import log_of

T = TypeVar("T")

KINDS = ("collector", "broker", "job", "function")
AWAY_S = (3.0, 6.0)
"""How long a killed broker stays away."""
UNACKNOWLEDGED_S = 1.0
"""When the collector is killed in the broker's absence: what it has taken is neither acknowledged nor given up yet."""
POINT_S = 20.0
"""How long a point of a batch is waited for; then the job is killed wherever it is."""
HEAL_S = 180.0
PAUSE_S = (0.5, 2.0)
LOUD_S = 60.0


@dataclass
class Fault:
    """One fault: what was done and at which point, when (seconds from the start), and when its part worked again.

    `sign`: what a log must say of it; `loud_s`: after how many seconds it did, None where it never did.
    """

    kind: str
    point: str
    at_s: float
    sign: "Sign"
    healed_s: float = 0.0
    loud_s: float | None = None

    @property
    def outage_s(self) -> float:
        """How long the part did not work."""
        return self.healed_s - self.at_s


@dataclass
class Sign:
    """A line that a log must gain."""

    log: Path
    words: str
    begin: int = field(init=False)

    def __post_init__(self) -> None:
        self.begin = self.log.stat().st_size if self.log.exists() else 0

    def shows(self) -> bool:
        """Whether it has."""
        with self.log.open("rb") as file:
            file.seek(self.begin)
            return self.words.encode() in file.read()


class Driver:
    """Does the faults one after another, each kind in turn, and waits for each part to work again.

    `say` hears of each fault. The collector, the function and the job are started again by their supervisors, which
    is the driver itself for the job, as Dataproc is; a broker by whoever runs it, here the driver too.
    """

    def __init__(self, run: Run, kinds: tuple[str, ...], seed: int, say: Callable[[Fault], None]) -> None:
        self.run, self.kinds, self.say = run, kinds, say
        self.rng = random.Random(seed)
        self.faults: list[Fault] = []
        self.begun_s = time.monotonic()
        self._files = files_of(run.cloud.state.folder, run.topic, run.cloud.bucket)
        self._kinds = self._shuffled(kinds)
        # First the point at which a replay finds its object published.
        self._points = chain([Point.PUBLISHED], self._shuffled(tuple(Point)))

    def play(self, *, seconds: float, kills: int) -> None:
        """Fault after fault until `seconds` are over, `kills` are done and every kind had its turn."""
        done: Counter[str] = Counter()
        while self._now() < seconds or done.total() < kills or any(kind not in done for kind in self.kinds):
            kind = next(self._kinds)
            {"collector": self.collector, "broker": self.broker, "job": self.job, "function": self.function}[kind]()
            done[kind] += 1
            time.sleep(self.rng.uniform(*PAUSE_S))

    def collector(self) -> None:
        """kill -9; its supervisor starts it again."""
        fault = self._begin("collector", "under load", "collector", "supervise: ended with code -9")
        self._kill_child("collector")
        self._healed(fault, lambda: self._answers("collector"))

    def broker(self) -> None:
        """kill -9, away for some seconds; where collectors are killed too, one dies with what it has just taken."""
        # A collector that still drains its disk has nothing new to tell of a broker that is away.
        _until(lambda: not read_metric(self.run.cloud.collector_url, "spooling"), POINT_S)
        fault = self._begin("broker", "under load", "collector", "the broker does not answer: spooling")
        self.run.cloud.process("broker").kill()
        back_s = time.monotonic() + self.rng.uniform(*AWAY_S)
        if "collector" in self.kinds:
            time.sleep(UNACKNOWLEDGED_S)
            also = self._begin("collector", "while the broker is away", "collector", "supervise: ended with code -9")
            self._kill_child("collector")
            self._healed(also, lambda: self._answers("collector"))
        time.sleep(max(0.0, back_s - time.monotonic()))
        self.run.cloud.start_part("broker")
        self._healed(fault, lambda: self._answers("broker"))

    def job(self) -> None:
        """kill -9 at the next point of a batch, the driver and its JVM at once, and a new start."""
        point = next(self._points)
        job = self.run.job
        assert job is not None
        query = wait_for(point, self._files, POINT_S)
        fault = self._begin("job", "", "job", '"job starts"')
        job.kill()
        fault.point = _spell(query or self._files[0])
        batches = len(job.batches())
        self.run.resubmit()
        self._healed(fault, lambda: len(job.batches()) > batches)

    def function(self) -> None:
        """kill -9 while a load is under way; its supervisor starts it again, and the event is delivered again."""
        loading = _until(lambda: bool(self.run.cloud.undelivered()), POINT_S)
        point = "while an object waits for its load" if loading else "idle"
        fault = self._begin("function", point, "function", "supervise: ended with code -9")
        self._kill_child("function")
        self._healed(fault, lambda: self._answers("function"))

    def listen(self) -> None:
        """Look once more for the signs that had not shown yet."""
        for fault in self.faults:
            if fault.loud_s is None and fault.sign.shows():
                fault.loud_s = self._now() - fault.at_s

    def _begin(self, kind: str, point: str, log: str, words: str) -> Fault:
        sign = Sign(log_of(self.run.cloud.state.folder, log), words)
        fault = Fault(kind, point, self._now(), sign)
        self.faults.append(fault)
        return fault

    def _healed(self, fault: Fault, works: Callable[[], bool]) -> None:
        def tended() -> bool:
            self.listen()
            self.run.revive()
            return works()

        wait_until(tended, timeout_s=HEAL_S, what=f"the {fault.kind} works again after kill -9", poll_s=0.1)
        fault.healed_s = self._now()
        self.listen()
        self.say(fault)

    def _kill_child(self, name: str) -> None:
        """Kill what the part's supervisor runs, and nothing that it does not."""
        supervisor = self.run.cloud.process(name)
        children = [pid for pid in processes.group_members(supervisor.pid) if pid != supervisor.pid]
        if not children:
            raise TransientError(f"the {name} is not running")
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        _until(lambda: not any(birth_of(pid) for pid in children), HEAL_S)

    def _answers(self, name: str) -> bool:
        return processes.listens(int(self.run.cloud.state.parts[name].address.rpartition(":")[2]))

    def _now(self) -> float:
        return time.monotonic() - self.begun_s

    def _shuffled(self, all_of: tuple[T, ...]) -> Iterator[T]:
        """Each once in a drawn order, again and again."""
        while True:
            yield from self.rng.sample(all_of, len(all_of))


def _spell(files: Files) -> str:
    """Where the dead job had come to, by what it left."""
    return f"{files.query}: {files.point().value}"


def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
