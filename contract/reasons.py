"""Why a message was refused: one closed list for every stage."""

from enum import Enum


class Reason(str, Enum):
    """Reject reasons. The value stands in bad_events.reason and in log lines."""

    UNDECODABLE = "undecodable"
    """The value is not a JSON object in UTF-8."""
    MISSING_UIUD = "missing_uiud"
    MISSING_SESSION_ID = "missing_session_id"
    MISSING_TIMESTAMP = "missing_timestamp"
    MISSING_PAGE_URL = "missing_page_url"
    UNREADABLE_TIMESTAMP = "unreadable_timestamp"
    """There is a timestamp, but not one of the forms that the contract knows."""
    TIMESTAMP_OUT_OF_RANGE = "timestamp_out_of_range"
    """Before 1970: no browser's clock, and a partition of its own in every table."""
    TIMESTAMP_IN_FUTURE = "timestamp_in_future"
    """More than 60 s ahead of Kafka's timestamp: it would make everybody else late."""
