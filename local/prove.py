"""`webevents prove`: visitors, faults, healing, and the verdict."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from contract.names import TOPIC
from contract.settings import count, number, read_flags, setting, switch, text
from local import processes
from local.audience import Audience, Shares, draw
from local.faults import KINDS, Driver, Fault
from local.job import wait_until
from local.ledger import Ledger, Outcome, read_ledger
from local.run import WINDOW_S, Run, read_metric, started
from local.verdict import (
    Finding,
    check_accounts,
    check_bounds,
    check_events,
    check_liveness,
    check_signs,
    read_tables,
)  # fmt: skip
from warehouse.accounts import Accounts
from warehouse.repair import repair
from warehouse.tables import Tables

DESCRIPTION = """\
Prove that nothing is lost and nothing is there twice: run visitors against the whole pipeline on this machine, kill
its parts with -9 meanwhile, let it heal, and compare the visitors' own ledger with the tables.

Every storage event is delivered twice and out of order, as Eventarc may. Pageviews that the watermark drops are
appended by the same repair as `webevents reconcile --repair`. Exit code 0 only when all invariants hold; 1 names
those that do not."""

SHARES = Shares(late=0.003)
DELIVERIES = 2
LEDGER = "ledger.jsonl"
FIRST_BATCH_S = 180.0


def kinds(given: str) -> tuple[str, ...]:
    """Names of parts with commas between."""
    named = tuple(text(name) for name in given.split(","))
    for name in named:
        if name not in KINDS:
            raise ValueError(f"want some of {', '.join(KINDS)}, got {name!r}")
    return named


@dataclass(frozen=True, kw_only=True)
class ProveSettings:
    """Settings of `webevents prove`."""

    kill: tuple[str, ...] = setting(kinds, default=KINDS, help="parts to kill, with commas between")
    seconds: int = setting(number, default=60, help="how long parts are killed; each part at least once")
    kills: int = setting(count, default=0, help="go on until so many rounds of killing are done")
    seed: int = setting(count, default=7, help="seed of the visitors and of the faults")
    per_second: int = setting(number, default=100, help="events a second that the visitors send")
    state: str = setting(
        text, default=".webevents/prove", help="folder of the run; an earlier run's data there is removed"
    )
    json: str | None = setting(text, default=None, help="write the verdict to this file as JSON")
    keep: bool = setting(switch, default=False, help="leave the local cloud running, to look around in it")


@dataclass
class Proof:
    """What a run was, and what was found."""

    seed: int
    counts: Counter[Outcome]
    sent_again: int
    slowest_s: float
    faults: list[Fault]
    seconds: float
    repaired: int
    accounts: Accounts
    findings: list[Finding] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every invariant does."""
        return all(finding.holds for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "holds": self.holds,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "events": {outcome.value: self.counts[outcome] for outcome in Outcome},
            "sent_again": self.sent_again,
            "slowest_answer_s": round(self.slowest_s, 2),
            "late_repaired": self.repaired,
            "kills": dict(Counter(fault.kind for fault in self.faults)),
            "kills_by_point": dict(Counter(f"{fault.kind}, {fault.point}" for fault in self.faults)),
            "findings": [asdict(finding) for finding in self.findings],
        }


def main(argv: Sequence[str]) -> int:
    """The command. 0: all invariants hold; 1: the ones named do not."""
    settings = read_flags(ProveSettings, argv, prog="webevents prove", description=DESCRIPTION)
    console = Console()
    with started(
        settings.state, console, TOPIC, keep=settings.keep, tended=True, deliveries=DELIVERIES,
        shuffle_seed=settings.seed,
    ) as run:  # fmt: skip
        proof = prove(run, settings)
        show(console, proof)
    if settings.json:
        Path(settings.json).write_text(json.dumps(proof.to_json(), indent=2) + "\n", encoding="utf-8")
    return 0 if proof.holds else 1


def prove(run: Run, settings: ProveSettings) -> Proof:
    """Visitors, faults, healing, the checks."""
    started_s = time.monotonic()
    job = run.submit_short()
    ledger = Ledger(run.cloud.state.folder / LEDGER)
    drafts = draw(settings.seed, SHARES)
    audience = Audience(run.cloud.collector_url, ledger, drafts, per_second=settings.per_second)
    audience.start()
    run.until(job.batches, "the Spark job reads the first pageviews", FIRST_BATCH_S)
    driver = inject(run, settings, ledger)
    driver.listen()
    healed_s = time.monotonic()
    with run.console.status("the visitors wait for their last answers"):
        audience.stop()
    ledger.close()
    settle(run)
    drained_s = time.monotonic() - healed_s
    repaired = mend(run)
    driver.listen()
    proof = Proof(
        settings.seed, ledger.counts, audience.again, audience.slowest_s, driver.faults, 0.0, repaired, run.accounts()
    )
    proof.findings = examine(run, proof, ledger, drained_s)
    proof.seconds = time.monotonic() - started_s
    return proof


def inject(run: Run, settings: ProveSettings, ledger: Ledger) -> Driver:
    """The faults, each told as it heals."""

    def say(fault: Fault) -> None:
        run.console.print(
            f"{fault.at_s:6.1f} s  kill -9 {fault.kind:<10} {fault.point:<44} "
            f"worked again after {fault.outage_s:4.1f} s; {ledger.counts[Outcome.OK]:,} events accepted so far",
            highlight=False, soft_wrap=True,
        )  # fmt: skip

    driver = Driver(run, settings.kill, settings.seed, say)
    driver.play(seconds=settings.seconds, kills=settings.kills)
    return driver


def settle(run: Run) -> None:
    """Wait until the collector's disk is empty, every window is closed and every file is loaded."""
    wait_until(
        lambda: not read_metric(run.cloud.collector_url, "spooling"),
        timeout_s=300.0,
        what="the collector's spool is drained",
    )
    run.settle()


def mend(run: Run) -> int:
    """Append what was late; returns the number of pageviews, when they are loaded."""
    done = repair(Tables(run.warehouse.client, run.warehouse.dataset), run.warehouse.bucket)
    run.until(lambda: not run.warehouse.waiting(), "the corrections load")
    return sum(correction.pageviews for correction in done.made)


def examine(run: Run, proof: Proof, ledger: Ledger, drained_s: float) -> list[Finding]:
    """All checks, in the order of the invariants."""
    entries = list(read_ledger(ledger.path))
    longest_s = max((fault.outage_s for fault in proof.faults), default=0.0)
    findings = [
        *check_events(entries, read_tables(run.warehouse), WINDOW_S * 1000),
        check_accounts(proof.accounts),
        check_liveness(drained_s, longest_s),
        check_bounds(peak_mb(run), int(read_metric(run.cloud.collector_url, "spool_bytes"))),
        check_signs(proof.faults),
    ]
    return sorted(findings, key=lambda finding: finding.invariant)


def peak_mb(run: Run) -> float:
    """The most memory that the collector's running process has had."""
    supervisor = run.cloud.process("collector").pid
    peaks = [0.0]
    for pid in processes.group_members(supervisor):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        peaks += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM") and pid != supervisor]
    return max(peaks)


def show(console: Console, proof: Proof) -> None:
    """The ledger, the faults and the verdict."""
    ledger = Table(title=f"The visitors' ledger, seed {proof.seed}")
    columns = ("accepted (200)", "refused (4xx)", "never answered", "sent again", "slowest answer", "late, repaired")
    for name in columns:
        ledger.add_column(name, justify="right")
    counts = [proof.counts[outcome] for outcome in (Outcome.OK, Outcome.REFUSED, Outcome.UNKNOWN)]
    ledger.add_row(
        *(f"{number:,}" for number in (*counts, proof.sent_again)), f"{proof.slowest_s:.1f} s", f"{proof.repaired:,}"
    )
    console.print(ledger)
    kills = Counter(fault.kind for fault in proof.faults)
    console.print("kill -9: " + ", ".join(f"{name} {kills[name]}" for name in sorted(kills)), highlight=False)
    table = Table(title="Invariants")
    for name in ("invariant", "holds", "what", "found"):
        table.add_column(name, overflow="fold")
    for finding in proof.findings:
        word = "[green]yes[/green]" if finding.holds else "[red]NO[/red]"
        table.add_row(finding.invariant, word, finding.says, "\n".join([finding.found, *finding.examples]))
    console.print(table)
    broken = [finding.invariant for finding in proof.findings if not finding.holds]
    verdict = f"IT DOES NOT HOLD: {', '.join(broken)}" if broken else "proved: nothing lost, nothing twice"
    console.print(f"{verdict} ({proof.seconds:.0f} s)", highlight=False)
