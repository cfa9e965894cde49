"""The visits that somebody makes on the sample site, as they arrive in the table."""

import time

from google.cloud import bigquery
from rich.live import Live
from rich.table import Table

from local.run import WATERMARK_S, WINDOW_S, Run

POLL_S = 1.0
SHOWN = 12

OWN_ROWS = f"""
SELECT uiud, window_start, Pageviews, Pages, landingReferrer, sealed
FROM `{{dataset}}.sessions_live` WHERE STARTS_WITH(entryPage, @origin)
ORDER BY window_start DESC, firstSeen DESC LIMIT {SHOWN}
"""


def own_visits(run: Run, origin: str) -> None:
    """Show them until Ctrl-C."""
    run.console.print(
        f"\nThe sample site: [bold]{origin}[/bold]   open it in your browser; Ctrl-C ends.", soft_wrap=True
    )
    run.console.print(
        f"A view is in `sessions_live` within seconds of the click; its row is sealed, and in `sessions`, when its "
        f"window of {WINDOW_S} s and {WATERMARK_S} s for stragglers are over.",
        soft_wrap=True,
    )
    try:
        with Live(console=run.console, auto_refresh=False) as screen:
            while True:
                run.pulse()
                if run.job is not None:
                    run.job.check()
                screen.update(to_table(run, origin), refresh=True)
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        run.console.print("ended")


def to_table(run: Run, origin: str) -> Table:
    """The site's rows of sessions_live, newest first."""
    table = Table(title=f"Your views of {origin}, by window")
    for name in ("visitor", "window", "pageviews", "pages", "came from", "sealed"):
        table.add_column(name, overflow="fold")
    for row in run.warehouse.ask(OWN_ROWS, bigquery.ScalarQueryParameter("origin", "STRING", origin)):
        pages = " ".join(page.removeprefix(origin) for page in row.Pages)
        sealed = "yes" if row.sealed else "not yet"
        table.add_row(
            row.uiud[:8], f"{row.window_start:%H:%M:%S}", f"{row.Pageviews}", pages, row.landingReferrer or "", sealed
        )
    return table
