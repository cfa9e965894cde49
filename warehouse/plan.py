"""`webevents plan`: what a site of a given size needs, what it costs, and which settings it wants."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from contract.settings import read_flags
from warehouse import costs
from warehouse.sizing import Needs, Plan, PlanSettings, assumptions, make_plan

DESCRIPTION = """\
What a site of so many pageviews a day needs and costs on Google Cloud, with every assumption printed.

It reckons with what was measured (docs/performance.md), says what is an estimate, and takes prices of us-central1
as remembered in 2026-11, not looked up: give your own.
Not in the sum: queries, network, discounts, and Kafka unless --kafka-month-price is given.
Exit code 1 where BigQuery's limit of load jobs does not bear the trigger; the advice then names one that it bears."""


def main(argv: Sequence[str]) -> int:
    """The command. 0: it fits; 1: BigQuery's limit of load jobs is exceeded."""
    settings = read_flags(PlanSettings, argv, prog="webevents plan", description=DESCRIPTION)
    plan = make_plan(settings)
    if settings.json:
        Console().print_json(json.dumps(plan.to_json()))
    else:
        show(plan, Console())
    return 0 if plan.fits else 1


def show(plan: Plan, console: Console) -> None:
    """The plan for people."""
    given, needs = plan.settings, plan.needs
    console.print(
        f"{given.pageviews_per_day:,} pageviews a day, {needs.peak_per_s:,.1f} a second at the peak "
        f"({given.peak:g} times the average), --trigger {given.trigger}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    table = Table()
    for name in ("part", "needs", "$ a month"):
        table.add_column(name, justify="right" if "$" in name else "left", overflow="fold")
    for part, needed in told(given, needs).items():
        money = plan.month.get(part)
        table.add_row(part, needed, "" if money is None else f"{money:,.2f}")
    table.add_section()
    table.add_row("sum", f"$ {plan.per_million:,.2f} a million pageviews", f"{plan.sum:,.2f}")
    console.print(table)
    console.print("Assumptions", style="bold")
    for name, value in assumptions(given).items():
        estimated = "   an estimate" if name.upper() in costs.ESTIMATES else ""
        console.print(f"  {name:<26} {value}{estimated}", markup=False, highlight=False)
    console.print("Each with its source in warehouse/costs.py; prices are list prices, check them.", highlight=False)
    for line in plan.advice or ["the job's defaults fit"]:
        console.print(f"-> {line}", markup=False, highlight=False, soft_wrap=True)


def told(given: PlanSettings, needs: Needs) -> dict[str, str]:
    """What each part needs, in words."""
    busy = f"at most {costs.BUSY:.0%} busy at the peak"
    kept = f"kept {given.keep_days:,} days"
    return {
        "job": f"cores: {needs.job_cores:,}, {busy}; state {to_size(needs.peak_state_bytes)}",
        "cluster": f"1 + {needs.workers:,} machines of {costs.WORKER_VCPUS} vCPUs",
        "Dataproc": f"{needs.cluster_vcpus:,} vCPUs",
        "collector": f"cores: {needs.collector_cores:,}, {busy}",
        "Kafka": f"{to_size(needs.topic_bytes)} a day; {to_size(needs.kafka_disk_bytes)} of disk for "
        f"{given.retention_days} days in {given.replicas} copies",
        "Cloud Storage bytes": f"{to_size(needs.object_bytes)} a day, {kept}",
        "Cloud Storage operations": f"{needs.operations:,} a day of class A, in {needs.batches:,} batches",
        "function": f"{needs.invocations:,} calls a day; it asks BigQuery {needs.bigquery_calls:,} times",
        "BigQuery loads": f"{needs.loads_per_table:,} a table a day, of {costs.LOADS_PER_TABLE:,} allowed; free",
        "BigQuery storage": f"{to_size(needs.table_bytes)} a day, {kept}",
    }


def to_size(size_bytes: float) -> str:
    """Bytes as people read them, in thousands: 330 B, 1.2 MB."""
    units = ["B", "kB", "MB", "GB", "TB", "PB"]
    while size_bytes >= 1000 and len(units) > 1:
        size_bytes /= 1000
        units.pop(0)
    return f"{size_bytes:,.0f} B" if units[0] == "B" else f"{size_bytes:,.1f} {units[0]}"
