"""The functions that Google calls: an object was finalized in the bucket, so its batch is loaded into its table.

`on_object_finalized` is the CloudEvent function (2nd gen), `update_user_cart` the background function (1st gen) of
the published pipeline. A return is an acknowledgement; whatever is raised has the event delivered again.
"""

import logging
import os
from functools import cache
from typing import Any

import functions_framework
from cloudevents.http import CloudEvent

from cloud_functions.clients import build_loader
from cloud_functions.event import FINALIZED, Ignored, parse_event
from cloud_functions.load import Loader
from cloud_functions.settings import read_settings
from contract.log import log_to

log = logging.getLogger(__name__)


@cache
def start_log() -> None:
    """The process's log as JSON lines."""
    log_to()


@cache
def loader() -> Loader:
    """The process's loader: clients are made for the first batch, not at import."""
    return build_loader(read_settings(os.environ), os.environ)


@functions_framework.cloud_event
def on_object_finalized(event: CloudEvent) -> None:
    """Load the object that the CloudEvent names, once, however often the event comes."""
    handle(event.data if event["type"] == FINALIZED else None)


def update_user_cart(data: Any, context: Any) -> None:
    """The same for a background event; `data` is the object's resource, `context` is not needed."""
    handle(data)


def handle(resource: Any) -> None:
    """Load the batch that an event's resource describes; what describes none is acknowledged and logged."""
    start_log()
    found = parse_event(resource)
    if isinstance(found, Ignored):
        log.info("event ignored", extra={"why": found.why, **found.fields})
        return
    loader().load(found)
