"""Figures as a table of ratios, a chart, and a warning where a ratio has become worse."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.console import make_console
from bench.job.programs import BATCHED
from contract.failures import ConfigError

OURS = "ours"
WORSE = 1.25
"""How much dearer ours may become against a recorded ratio before it is told: the rounds of one run differ by less."""
UNLIKE = "--against has another limit to a batch, so that nothing is compared"
BAR = 10
console = make_console()


def report(figures: Mapping[str, Any], *, json_file: Path | None, chart: Path | None, against: Path | None) -> int:
    """Print, write and compare; 1 where a program's rows are not the expected ones."""
    programs = figures["programs"]
    console.print(to_table(programs, figures["batch"]))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1) + "\n")
    if chart is not None:
        draw(programs, chart)
    if against is not None:
        recorded = json.loads(against.read_text())
        for line in worse(programs, recorded["programs"]) if recorded.get("batch") == figures["batch"] else [UNLIKE]:
            console.print(f"[yellow]warning:[/] {line}")
    wrong = [name for name, runs in programs.items() if not all(each["right"] for each in runs)]
    console.print(f"rows differ: {', '.join(wrong)}" if wrong else "every program's rows are the expected ones")
    return 1 if wrong else 0


def to_table(programs: Mapping[str, Sequence[Mapping[str, Any]]], batch: int | None) -> Table:
    """One line a program: medians, lowest and highest in brackets; `batch` is the limit that was given to batches.

    `ours does`: its pageviews per CPU-second against the program's; above 1 it is ahead.
    """
    table = Table(title="Kafka to Avro, marginal: medians (lowest-highest)")
    for title in ("program", "CPU-s/million", "ours does", "pageviews/s", "MB", ""):
        table.add_column(title, justify="left" if title in ("program", "") else "right", no_wrap=True)
    most = max(statistics.median(cpu(runs)) for runs in programs.values())
    for name, runs in programs.items():
        does = "" if OURS not in programs else spread(ratios(programs[OURS], runs), "{:.2f}x")
        peak = statistics.median(each["long"]["peak_bytes"] for each in runs) / 2**20
        rates = [each["marginal_pageviews_s"] for each in runs]
        bar = "█" * max(1, round(BAR * statistics.median(cpu(runs)) / most))
        table.add_row(name, spread(cpu(runs), "{:.1f}"), does, spread(rates, "{:,.0f}"), f"{peak:,.0f}", bar)
    table.caption = "\n".join(
        f"{name}: of {runs[0]['pageviews']:,} pageviews, the first {runs[0]['warm_up']:,} taken off"
        for name, runs in programs.items()
    )
    if batch is not None:
        table.caption += f"\nbatches of {batch:,} messages at most: {', '.join(BATCHED)}"
    return table


def cpu(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    """CPU-seconds per million pageviews, round by round."""
    return [each["marginal_cpu_s"] for each in runs]


def ratios(ours: Sequence[Mapping[str, Any]], peer: Sequence[Mapping[str, Any]]) -> list[float]:
    """Pageviews per CPU-second, ours against the peer's, round by round: above 1 ours is ahead."""
    return [theirs / mine for mine, theirs in zip(cpu(ours), cpu(peer), strict=True)]


def spread(values: Sequence[float], shape: str) -> str:
    """Median (lowest-highest)."""
    low, middle, high = (shape.format(of(values)) for of in _OF)
    return middle if len(values) == 1 else f"{middle} ({low}-{high})"


_OF: tuple[Callable[[Sequence[float]], float], ...] = (min, statistics.median, max)


def worse(now: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """A sentence for each peer against which ours has become worse by more than WORSE."""
    told = []
    for name in now:
        if name == OURS or not {OURS, name} <= now.keys() & recorded.keys():
            continue
        is_now, was = (statistics.median(ratios(each[OURS], each[name])) for each in (now, recorded))
        if is_now * WORSE < was:
            told.append(f"ours does {is_now:.2f}x the pageviews per CPU-second of {name}, recorded is {was:.2f}x")
    return told


def check_chart() -> None:
    """Raise ConfigError where no chart can be drawn, before hours of measuring."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigError("--chart: needs matplotlib; pip install matplotlib") from None


def draw(programs: Mapping[str, Sequence[Mapping[str, Any]]], file: Path) -> None:
    """A bar a program, CPU-seconds per million, with the span of the rounds."""
    from matplotlib.figure import Figure

    names = list(programs)
    middles = [statistics.median(cpu(programs[name])) for name in names]
    spans = [
        [middle - min(cpu(programs[name])) for name, middle in zip(names, middles, strict=True)],
        [max(cpu(programs[name])) - middle for name, middle in zip(names, middles, strict=True)],
    ]
    figure = Figure(figsize=(8, 0.6 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, middles, xerr=spans, color=["#1a73e8" if name == OURS else "#9aa0a6" for name in names])
    axes.set_xlabel("CPU-seconds per million pageviews (less is better)")
    axes.invert_yaxis()
    figure.savefig(file, dpi=150)
