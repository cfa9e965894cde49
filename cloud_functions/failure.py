"""BigQuery's failures by what they mean for one load: go on later, or leave a record and stop."""

import re
from collections.abc import Mapping
from typing import Any

from google.api_core.exceptions import GoogleAPICallError

PASSING = frozenset(
    {
        "backendError", "blocked", "internalError", "jobBackendError", "jobInternalError", "jobRateLimitExceeded",
        "quotaExceeded", "rateLimitExceeded", "resourceInUse", "stopped", "tableUnavailable", "timeout",
    }
)  # fmt: skip
"""Reasons of BigQuery's error table for which the same load can succeed later."""

OPERATOR = frozenset({"accessDenied", "billingNotEnabled", "billingTierLimitExceeded", "proxyAuthenticationRequired"})
"""Reasons that somebody has to mend in the project; redelivery goes on for a day, so a mended one heals by itself."""

LACKING = re.compile(r"not found: (table|dataset|project)", re.IGNORECASE)
"""How notFound tells a missing table, which an operator creates, from a missing object, which nobody brings back."""


def is_passing(error: Mapping[str, Any]) -> bool:
    """Whether a failed job's error can be gone at the next try."""
    reason, message = str(error.get("reason")), str(error.get("message"))
    return reason in PASSING | OPERATOR or (reason == "notFound" and LACKING.search(message) is not None)


def is_refusal(error: GoogleAPICallError) -> bool:
    """Whether an API call's error says that this very job is impossible, whoever sends it and whenever."""
    return error.code == 400 and not is_passing(to_error(error))


def to_error(error: GoogleAPICallError) -> dict[str, Any]:
    """An API call's error in the form of a job's: reason, message."""
    first = error.errors[0] if error.errors and isinstance(error.errors[0], Mapping) else {}
    return {"reason": str(first.get("reason", error.code)), "message": str(first.get("message", error.message))[:1000]}
