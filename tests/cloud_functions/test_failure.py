import pytest
from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPICallError, NotFound, ServiceUnavailable

from cloud_functions.failure import is_passing, is_refusal, to_error

PASSING = [
    "backendError", "internalError", "jobBackendError", "jobInternalError", "jobRateLimitExceeded", "rateLimitExceeded",
    "quotaExceeded", "resourceInUse", "stopped", "tableUnavailable", "timeout", "blocked", "accessDenied",
    "billingNotEnabled",
]  # fmt: skip
LASTING = [
    "invalid",
    "invalidQuery",
    "badRequest",
    "duplicate",
    "notImplemented",
    "resourcesExceeded",
    "notFound",
    "new",
]


@pytest.mark.parametrize("reason", PASSING)
def test_a_reason_that_can_be_gone_later_is_tried_again(reason: str) -> None:
    assert is_passing({"reason": reason, "message": "grief"})


@pytest.mark.parametrize("reason", LASTING)
def test_a_reason_that_lies_in_the_object_is_not(reason: str) -> None:
    assert not is_passing({"reason": reason, "message": "grief"})


@pytest.mark.parametrize(
    ("message", "passing"),
    [
        ("Not found: Table p:webevents.sessions was not found in location EU", True),
        ("Not found: Dataset p:webevents was not found in location EU", True),
        ("Not found: URI gs://b/sessions/v1/q/batch=000000000042.avro", False),
    ],
    ids=["a missing table can be created", "a missing dataset can be created", "a missing object stays away"],
)
def test_what_was_not_found_decides(message: str, passing: bool) -> None:
    assert is_passing({"reason": "notFound", "message": message}) is passing


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (BadRequest("no", errors=[{"reason": "invalid", "message": "no"}]), True),
        (BadRequest("no"), True),
        (BadRequest("busy", errors=[{"reason": "resourceInUse", "message": "busy"}]), False),
        (Forbidden("no", errors=[{"reason": "accessDenied", "message": "no"}]), False),
        (Forbidden("much", errors=[{"reason": "quotaExceeded", "message": "much"}]), False),
        (NotFound("Not found: Table x"), False),
        (ServiceUnavailable("later"), False),
    ],
    ids=lambda value: getattr(value, "message", None),
)
def test_only_an_impossible_job_is_a_refusal(error: GoogleAPICallError, refused: bool) -> None:
    assert is_refusal(error) is refused


def test_an_errors_text_is_of_bounded_length() -> None:
    assert to_error(BadRequest("x" * 5000)) == {"reason": "400", "message": "x" * 1000}
