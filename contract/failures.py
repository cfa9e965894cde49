"""Failures by what the caller must do: reject, retry, or act."""

from contract.reasons import Reason


class WebeventsError(Exception):
    """The base of every failure that the product names. `exit_code` is the process's."""

    exit_code = 1


class RejectedError(WebeventsError):
    """The input is at fault. Never retry: count it under `reason` and keep the payload."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason


class TransientError(WebeventsError):
    """The world is at fault. Retry the same call after `retry_after_s` seconds."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h

    def __init__(self, message: str, *, retry_after_s: float = 10.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConfigError(WebeventsError):
    """The operator must act. Retrying cannot help."""

    exit_code = 78  # EX_CONFIG of sysexits.h
