"""Session rows made of archived pageviews in SQL, by the rules by which the stream makes them."""

from importlib import resources


def session_rows(pageviews: str, *, window_s: int, correction: int = 0, batch_key: str) -> str:
    """The question for the session rows of `pageviews`, in the columns and the order of the contract.

    pageviews: a question for rows of `events`, pageviews only. Of a visitor's, session's and window's hits with one
    eventId the earliest counts; all arrays are ordered by time, then eventId.
    """
    text = (resources.files(__package__) / "rows.sql").read_text(encoding="utf-8")
    filled = text.replace("{window_s}", str(window_s)).replace("{correction}", str(correction))
    return filled.replace("{batch_key}", batch_key).replace("{pageviews}", pageviews)
