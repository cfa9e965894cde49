"""BigQuery's errors: a reason, a message, and the HTTP status that the reason stands for."""

from typing import Any

STATUS = {
    "invalid": 400,
    "invalidQuery": 400,
    "accessDenied": 403,
    "quotaExceeded": 403,
    "notFound": 404,
    "duplicate": 409,
    "conditionNotMet": 412,
    "resourceInUse": 400,
    "stopped": 200,
    "backendError": 500,
    "notImplemented": 501,
}


class BigQueryError(Exception):
    """A failure in BigQuery's own terms; `reason` is one of STATUS."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status of a response that carries this error."""
        return STATUS[self.reason]

    def proto(self) -> dict[str, Any]:
        """The error as it stands in a job's status."""
        return {"reason": self.reason, "message": self.message}

    def body(self) -> dict[str, Any]:
        """The error as the body of a response."""
        error = {"code": self.status, "message": self.message, "errors": [{**self.proto(), "domain": "global"}]}
        return {"error": error}


def invalid(message: str) -> BigQueryError:
    """The request or the input is at fault."""
    return BigQueryError("invalid", message)


def invalid_query(message: str) -> BigQueryError:
    """The statement is at fault."""
    return BigQueryError("invalidQuery", message)


def not_found(what: str, name: str) -> BigQueryError:
    """`what` is Dataset, Table, Job or URI."""
    return BigQueryError("notFound", f"Not found: {what} {name}")


def duplicate(what: str, name: str) -> BigQueryError:
    """The name is taken."""
    return BigQueryError("duplicate", f"Already Exists: {what} {name}")


def refused(feature: str) -> BigQueryError:
    """BigQuery may know it, the stand-in does not: it is refused, never guessed."""
    return invalid_query(f"The BigQuery stand-in does not support {feature}")
