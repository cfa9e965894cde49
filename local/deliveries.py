"""The bridge's journal: which events were delivered, which wait for another try, which were given up."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

DELIVERED = "delivered"
WAITING = "waiting"
GIVEN_UP = "given up"
TIMEOUT_S = 30

Key = tuple[str, str]
"""An object's name and generation."""


@dataclass(frozen=True)
class Delivery:
    """How far the event of one object came. `tries` counts the posts, `answer` is the last one's."""

    name: str
    generation: str
    outcome: str
    tries: int
    answer: str

    @property
    def key(self) -> Key:
        """Which event it is."""
        return self.name, self.generation


class Journal:
    """A file to which one line is added for each step, so that a killed bridge loses none that it took."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a", encoding="utf-8")
        self.file.write("\n")  # Ends a line that a killed bridge left unfinished.

    def add(self, delivery: Delivery) -> None:
        """Add a line; it outlives this process once this returns."""
        self.file.write(json.dumps(asdict(delivery)) + "\n")
        self.file.flush()


def read_journal(path: Path) -> dict[Key, Delivery]:
    """The last line of every event; unfinished lines are none."""
    found: dict[Key, Delivery] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            delivery = Delivery(**json.loads(line))
        except (ValueError, TypeError):
            continue
        found[delivery.key] = delivery
    return found


def count_outcomes(deliveries: Mapping[Key, Delivery]) -> dict[str, int]:
    """How many events are delivered, waiting, given up."""
    counted = Counter(delivery.outcome for delivery in deliveries.values())
    return {outcome: counted[outcome] for outcome in (DELIVERED, WAITING, GIVEN_UP)}


def list_objects(url: str, bucket: str, session: requests.Session) -> Iterable[dict[str, Any]]:
    """The resources of all objects of the bucket, as Cloud Storage's JSON API lists them."""
    page: str | None = None
    while True:
        query = {"pageToken": page} if page else {}
        answer = session.get(f"{url}/storage/v1/b/{bucket}/o", params=query, timeout=TIMEOUT_S)
        answer.raise_for_status()
        listed = answer.json()
        yield from listed.get("items", ())
        page = listed.get("nextPageToken")
        if not page:
            return


def undelivered(url: str, bucket: str, journal: Path) -> list[str]:
    """The names of objects whose event is not delivered yet; empty when the function has seen everything."""
    deliveries = read_journal(journal)
    done = {key for key, delivery in deliveries.items() if delivery.outcome == DELIVERED}
    with requests.Session() as session:
        return [o["name"] for o in list_objects(url, bucket, session) if (o["name"], str(o["generation"])) not in done]
