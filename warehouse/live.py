"""The view sessions_live: the rows of `sessions`, and before a window's row is there one made of the archive."""

from importlib import resources

from contract.names import PAGEVIEW, Kind
from contract.schemas import field_names
from warehouse.rows import session_rows

WINDOW_S = 1800
"""The job's own default."""
REACH_S = 3 * 3600
"""Windows that ended longer ago are not made of the archive: the stream seals one some minutes after its end."""
MARGIN_S = 86_400
"""Sealed rows are looked at so far before that: a row of a window of up to a day may lie across the bound."""
BATCH_KEY = "live"


def live_view(dataset: str, *, window_s: int = WINDOW_S) -> str:
    """The DDL of the view, for a stream whose windows have this length.

    A window is made of the archive as a whole or not at all: its pageviews are all at or after its start, and the
    start has to lie within the reach. The plain bound on `timestamp` beside it is the one that BigQuery prunes by.
    Where the stream's windows have another length, no pageview is counted twice either: one that lies within a sealed
    row of its visitor and session is never taken.
    """
    text = (resources.files(__package__) / "sessions_live.sql").read_text(encoding="utf-8")
    reach_s = REACH_S + window_s
    put_in = {
        "rows": session_rows("SELECT * FROM open_pageviews", window_s=window_s, batch_key=BATCH_KEY),
        "columns": ",\n  ".join(field_names(Kind.SESSIONS.schema)),
        "dataset": dataset,
        "window_s": str(window_s),
        "reach_s": str(reach_s),
        "sealed_reach_s": str(reach_s + MARGIN_S),
        "pageview": PAGEVIEW,
    }
    for name, value in put_in.items():
        text = text.replace(f"{{{name}}}", value)
    return text
