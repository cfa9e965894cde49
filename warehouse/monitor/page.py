"""A status as a page, as a table on a terminal, and as Prometheus' text."""

from collections.abc import Iterator
from datetime import datetime, timezone
from html import escape

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from rich.table import Table
from rich.text import Text

from warehouse.monitor.health import Figure, Stage, Status, Verdict
from warehouse.monitor.judge import span

PREFIX = "webevents_monitor"
COLOURS = {Verdict.OK: "green", Verdict.BEHIND: "yellow", Verdict.SILENT: "red", Verdict.FAILING: "red"}

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="{every_s}"><title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }}
table {{ border-collapse: collapse }}
td, th {{ padding: .4em .8em; text-align: left; vertical-align: top; border-bottom: 1px solid #ccc }}
.ok {{ background: #d8f0d8 }} .behind {{ background: #fbeeb5 }} .silent, .failing {{ background: #f8cfcb }}
small {{ color: #555 }}
</style></head><body><h1>{title}</h1><p>As of {at} UTC; a look took {took:.1f} s. <a href="status.json">status.json</a>,
<a href="metrics">metrics</a></p>
<table><tr><th>stage</th><th>verdict</th><th>last event</th><th>lag</th><th>what it means</th><th>figures</th></tr>
"""


def to_html(status: Status, every_s: int) -> str:
    """The page: a row a stage, no script, read again every `every_s` seconds."""
    wrong = sum(stage.verdict is not Verdict.OK for stage in status.stages)
    title = f"webevents: {wrong} of {len(status.stages)} stages not ok" if wrong else "webevents: ok"
    rows = []
    for stage in status.stages:
        runbook = f" <small>{escape(stage.runbook)}</small>" if stage.runbook else ""
        figures = "<br>".join(escape(to_words(figure)) for figure in told(stage))
        rows.append(
            f'<tr class="{stage.verdict.value}"><td>{escape(stage.name)}</td><td>{stage.verdict.value}</td>'
            f"<td>{clock(stage.last_at)}</td><td>{lag(stage.lag_s)}</td>"
            f"<td>{escape(stage.says)}{runbook}</td><td><small>{figures}</small></td></tr>"
        )
    head = HEAD.format(every_s=every_s, title=title, at=clock(status.at), took=status.took_s)
    return "\n".join([head, *rows, "</table></body></html>\n"])


def to_table(status: Status) -> Table:
    """The same on a terminal."""
    table = Table(title=f"webevents at {clock(status.at)} UTC", show_lines=True)
    for name in ("stage", "verdict", "last event", "lag"):
        table.add_column(name, no_wrap=True)
    table.add_column("what it means", ratio=2, overflow="fold")
    table.add_column("figures", ratio=2, overflow="fold")
    for stage in status.stages:
        says = "\n".join(filter(None, (stage.says, stage.runbook)))
        figures = "; ".join(to_words(figure) for figure in told(stage))
        verdict = Text(stage.verdict.value, style=COLOURS[stage.verdict])
        table.add_row(stage.name, verdict, clock(stage.last_at), lag(stage.lag_s), Text(says), Text(figures))
    return table


def told(stage: Stage) -> list[Figure]:
    """The figures that people read: of those with a label only what is not 0."""
    return [figure for figure in stage.figures if figure.value or not figure.labels]


def to_words(figure: Figure) -> str:
    """One figure as people read it."""
    labels = "".join(f" {value}" for value in figure.labels.values())
    name = figure.name.replace("_", " ")
    if name.endswith(" timestamp seconds"):
        return f"{name.removesuffix(' timestamp seconds')}{labels}: {clock(figure.value)}"
    if name.endswith(" seconds"):
        return f"{name.removesuffix(' seconds')}{labels}: {span(figure.value)}"
    return f"{name}{labels}: {figure.value:,.0f}"


def clock(at: float | None) -> str:
    """A moment, UTC, to the second; a dash where there is none."""
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S}" if at is not None else "-"


def lag(seconds: float | None) -> str:
    """A lag; a dash where the stage has none."""
    return span(seconds) if seconds is not None else "-"


def to_metrics(status: Status) -> bytes:
    """The status as a scraper reads it."""
    registry = CollectorRegistry()
    registry.register(_Families(status))
    return generate_latest(registry)


class _Families:
    """The gauges of one status. Labels are stages and words of closed lists: nothing that a sender chose."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def collect(self) -> Iterator[Metric]:
        """All of them, as the client library asks for them."""
        state = GaugeMetricFamily(f"{PREFIX}_stage_state", "1 for the stage's verdict.", labels=["stage", "verdict"])
        last = GaugeMetricFamily(
            f"{PREFIX}_last_event_timestamp_seconds", "Last thing that came out.", labels=["stage"]
        )
        lags = GaugeMetricFamily(f"{PREFIX}_lag_seconds", "Age of the oldest that waits.", labels=["stage"])
        families: dict[str, GaugeMetricFamily] = {}
        for stage in self.status.stages:
            for verdict in Verdict:
                state.add_metric([stage.name, verdict.value], float(verdict is stage.verdict))
            if stage.last_at is not None:
                last.add_metric([stage.name], stage.last_at)
            if stage.lag_s is not None:
                lags.add_metric([stage.name], stage.lag_s)
            for figure in stage.figures:
                family = families.setdefault(figure.name, _family(figure))
                family.add_metric([stage.name, *figure.labels.values()], figure.value)
        looked = GaugeMetricFamily(
            f"{PREFIX}_look_timestamp_seconds", "When the stages were looked at.", self.status.at
        )
        took = GaugeMetricFamily(f"{PREFIX}_look_duration_seconds", "How long it took.", self.status.took_s)
        yield from (state, last, lags, looked, took, *families.values())


def _family(figure: Figure) -> GaugeMetricFamily:
    said = figure.help or figure.name.replace("_", " ").capitalize() + "."
    return GaugeMetricFamily(f"{PREFIX}_{figure.name}", said, labels=["stage", *figure.labels])
