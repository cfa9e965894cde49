"""The rounds: every program on the short topic and on the long one, in turn, beside each other in one run."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.job.fill import fill, serving
from bench.job.measure import Measured, measure
from bench.job.programs import PROGRAMS, Run, environment, named

console = Console()


def run(
    state: Path,
    programs: Sequence[str],
    *,
    pageviews: int,
    warm_up: int,
    rounds: int,
    seed: int,
    batch: int | None,
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """Figures of all runs; `marginal_cpu_s` is what a million pageviews takes between the two topics' ends.

    A program given as NAME:N is run on topics of an Nth of the pageviews each; `batch` is the limit of messages to a
    batch, or None for each program's own.
    """
    with serving(state) as servers:
        topics = {
            given: [fill(state, servers, size // named(given)[1], seed) for size in (warm_up, pageviews)]
            for given in programs
        }

        def one(given: str) -> dict[str, Any]:
            short, long = topics[given]
            runs = [_measure(given, topic, servers, state, batch, environ) for topic in (short, long)]
            return _figures(runs[0], runs[1], long["pageviews"], short["pageviews"])

        runs = take_turns(programs, rounds, one)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()}
    return {"topics": topics, "seed": seed, "batch": batch, "machine": machine, "programs": runs}


def take_turns(
    programs: Sequence[str], rounds: int, one: Callable[[str], dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """What `one` finds of each program in each round. Interrupted, the rounds that are whole; raises where none is."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    for number in range(rounds):
        try:
            # Every other round in the opposite order, so that none always follows the same one.
            for name in programs if number % 2 == 0 else reversed(programs):
                runs[name].append(one(name))
                _say(number, name, runs[name][-1])
        except KeyboardInterrupt:
            if not number:
                raise
            console.print(f"interrupted: these are the {number} rounds before")
            return {name: found[:number] for name, found in runs.items()}
    return runs


def _measure(
    given: str, topic: Mapping[str, Any], servers: str, state: Path, batch: int | None, environ: Mapping[str, str]
) -> Measured:
    place = Run(servers, topic["topic"], state / "run", environment(environ), batch)
    with console.status(f"{given} on {topic['topic']}"):
        return measure(PROGRAMS[named(given)[0]], place, topic)


def _figures(short: Measured, long: Measured, pageviews: int, warm_up: int) -> dict[str, Any]:
    millions = (pageviews - warm_up) / 1e6
    return {
        "right": short.right and long.right,
        "pageviews": pageviews,
        "warm_up": warm_up,
        "marginal_cpu_s": (long.cpu_s - short.cpu_s) / millions,
        "marginal_pageviews_s": (pageviews - warm_up) / max(long.wall_s - short.wall_s, 1e-9),
        "short": asdict(short),
        "long": asdict(long),
    }


def _say(number: int, name: str, found: Mapping[str, Any]) -> None:
    wrong = "" if found["right"] else "  ROWS DIFFER"
    console.print(
        f"round {number + 1}  {name:<14} {found['marginal_cpu_s']:6.1f} CPU-s per million  "
        f"{found['marginal_pageviews_s']:9,.0f} pageviews/s  whole run {found['long']['cpu_s']:6.1f} CPU-s, "
        f"{found['long']['wall_s']:6.1f} s{wrong}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
