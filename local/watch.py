"""The visits that somebody makes on the sample site, as they arrive in the table."""

import time

from google.cloud import bigquery
from rich.live import Live
from rich.table import Table

from local.run import TRIGGER_S, WATERMARK_S, WINDOW_S, Run

POLL_S = 1.0
SHOWN = 12

OWN_VISITS = f"""
SELECT uiud, visitStart, durationSeconds, Pageviews, Pages, landingReferrer
FROM `{{dataset}}.visits` WHERE STARTS_WITH(entryPage, @origin)
ORDER BY visitStart DESC LIMIT {SHOWN}
"""
OWN_EVENTS = """
SELECT COUNT(DISTINCT eventId) AS number FROM `{dataset}.events`
WHERE STARTS_WITH(pageUrl, @origin) AND eventType = 'Pageview'
"""


def own_visits(run: Run, origin: str) -> None:
    """Show them until Ctrl-C."""
    run.console.print(
        f"\nThe sample site: [bold]{origin}[/bold]   open it in your browser; Ctrl-C ends.", soft_wrap=True
    )
    run.console.print(
        f"A view is in `events` after about {2 * TRIGGER_S} s, its visit in `sessions` when its window of {WINDOW_S} s "
        f"and {WATERMARK_S} s for stragglers are over.",
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
    """The site's visits, newest first, and how many views the archive has."""
    parameter = bigquery.ScalarQueryParameter("origin", "STRING", origin)
    (events,) = run.warehouse.ask(OWN_EVENTS, parameter)
    table = Table(title=f"Your visits to {origin} (pageviews in events: {events.number:,})")
    for name in ("visitor", "began", "seconds", "pageviews", "pages", "came from"):
        table.add_column(name, overflow="fold")
    for visit in run.warehouse.ask(OWN_VISITS, parameter):
        pages = " ".join(page.removeprefix(origin) for page in visit.Pages)
        table.add_row(
            visit.uiud[:8], f"{visit.visitStart:%H:%M:%S}", f"{visit.durationSeconds}", f"{visit.Pageviews}", pages,
            visit.landingReferrer or "",
        )  # fmt: skip
    return table
