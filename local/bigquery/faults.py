"""Faults that a test switches on: the next n requests of a kind fail, hang or run into a quota.

No part of BigQuery: POST /faults {"fault", "on", "times", "seconds"}, GET /faults, DELETE /faults.
"""

import threading
from dataclasses import dataclass
from typing import Any

from local.bigquery.errors import BigQueryError, invalid

FAULTS = {
    "error_before": "answer 500 and do nothing",
    "error_after": "do it, and answer 500 all the same",
    "slow": "answer `seconds` later; a job stays unfinished for that long",
    "quota": "answer 403 quotaExceeded; a job that is inserted fails with it",
    "job_error": "the job is taken and fails with backendError, without effect",
}


@dataclass
class Fault:
    """One switch: it acts on the next `times` requests of the kind `on`, e.g. jobs.insert, or * for any."""

    fault: str
    on: str = "*"
    times: int = 1
    seconds: float = 1.0


class Faults:
    """The switches that are on, oldest first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.on: list[Fault] = []

    def add(self, given: dict[str, Any]) -> None:
        """Switch one on. Raises BigQueryError 'invalid' for what it does not know."""
        try:
            fault = Fault(**given)
        except TypeError as error:
            raise invalid(f"A fault has fault, on, times and seconds: {error}") from error
        if fault.fault not in FAULTS:
            raise invalid(f"Unknown fault {fault.fault}; known are {', '.join(FAULTS)}")
        with self.lock:
            self.on.append(fault)

    def clear(self) -> None:
        """Switch all off."""
        with self.lock:
            self.on.clear()

    def take(self, request: str) -> Fault | None:
        """The fault that this request meets, used up by one."""
        with self.lock:
            found = next((fault for fault in self.on if fault.on in (request, "*")), None)
            if found is not None:
                found.times -= 1
                self.on = [fault for fault in self.on if fault.times > 0]
            return found

    def shown(self) -> list[dict[str, Any]]:
        """What is on."""
        with self.lock:
            return [vars(fault) for fault in self.on]


def failure(fault: Fault) -> BigQueryError | None:
    """What a job or an answer fails with; None for a fault that is none of failing."""
    if fault.fault == "quota":
        return BigQueryError("quotaExceeded", "Quota exceeded: a fault that was switched on")
    if fault.fault in ("job_error", "error_before", "error_after"):
        return BigQueryError("backendError", "Error encountered during execution: a fault that was switched on")
    return None
