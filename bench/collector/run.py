"""Accepted events a second, CPU-seconds per 100,000 and latency, side by side with the usual ways to build it.

    python bench/collector/run.py [--rounds 3] [--seconds 8] [--connections 256]

Needs bench/collector/requirements.txt and wrk (apt install wrk). Every system is one process, all share one broker; the
rounds are interleaved, and medians are printed. Generator and broker share the machine: read the ratios, and CPU first.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from local import broker
from local.processes import pick_port

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
PACED_MOST = 7_000
"""Requests a second of the open loop at the most: it is one Python process beside the system and the broker."""
TICKS = os.sysconf("SC_CLK_TCK")
URL = "http://127.0.0.1:{port}/api/webeventspub"
GUNICORN = ["gunicorn", "--worker-class", "gthread", "--threads", "64", "--keep-alive", "75", "--log-level", "error",
            "--chdir", str(HERE), "--bind", "127.0.0.1:{port}", "flask_app:app"]  # fmt: skip
OURS = ["python", "-m", "collector", "--kafka-servers", "{kafka}", "--topic", "{topic}", "--port", "{port}",
        "--sites", "*", "--rate", "1000000", "--spool", "{folder}"]  # fmt: skip
STARLETTE = ["uvicorn", "--app-dir", str(HERE), "--log-level", "error", "--no-access-log", "--loop", "uvloop", "--http",
             "httptools", "--port", "{port}", "starlette_app:app"]  # fmt: skip
SYSTEMS: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "ours": (OURS, {}),
    "Flask-RESTful + kafka-python, waiting": (GUNICORN, {"WAIT": "1"}),
    "Flask-RESTful + kafka-python, as published": (GUNICORN, {}),
    "uvicorn + Starlette + aiokafka": (STARLETTE, {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--only", default="", help="systems with this text in their name")
    given = parser.parse_args()
    systems = [name for name in SYSTEMS if given.only in name]
    results: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        process, servers = broker.start(Path(folder))
        try:
            for number in range(given.rounds):
                for name in systems:
                    for key, value in measure(name, servers, Path(folder), given, number).items():
                        results[name][key].append(value)
        finally:
            process.stop()
    report(results)


def measure(name: str, servers: str, folder: Path, given: argparse.Namespace, number: int) -> dict[str, float]:
    port, topic = pick_port(None, "--port"), f"bench-{number}-{list(SYSTEMS).index(name)}"
    broker.create_topics(servers, [topic])
    command, extra = SYSTEMS[name]
    words = {"port": str(port), "kafka": servers, "topic": topic, "folder": str(folder / topic)}
    environ = {**os.environ, "KAFKA": servers, "TOPIC": topic, **extra}
    process = subprocess.Popen(
        [str(BIN / command[0]), *(word.format(**words) for word in command[1:])], env=environ, start_new_session=True
    )
    try:
        wait_until_it_answers(port)
        load(port, 2, given.connections)
        begun = cpu_s(process.pid)
        count, rate = load(port, given.seconds, given.connections)
        cpu = cpu_s(process.pid) - begun
        paced = [sys.executable, HERE / "paced.py", str(port), str(min(rate * 0.7, PACED_MOST)), str(given.seconds)]
        latency = json.loads(subprocess.run(paced, check=True, capture_output=True, text=True).stdout)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
    found = {"events_s": rate, "cpu_s_per_100k": cpu / count * 100_000, **latency}
    print(f"{number} {name}: {found}", flush=True)
    return found


def load(port: int, seconds: int, connections: int) -> tuple[int, float]:
    """Accepted requests, and how many a second, from wrk's closed loop."""
    seed = str(time.time_ns() % 10**9)
    said = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "post.lua", URL.format(port=port), "--", seed],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    count = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert bad is None, said
    return count, float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]


def wait_until_it_answers(port: int) -> None:
    event = {name: "x" for name in ("pageUrl", "lastPageVisited", "eventType", "uiud", "sessionId", "referrer")}
    body = json.dumps({**event, "landingPage": 0, "timestamp": time.time_ns() // 10**6}).encode()
    deadline = time.monotonic() + 30
    while True:
        request = urllib.request.Request(URL.format(port=port), body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def cpu_s(leader: int) -> float:
    """CPU-seconds of the process group, the kernel's included."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def report(results: Mapping[str, Mapping[str, list[float]]]) -> None:
    medians = {
        name: {key: statistics.median(values) for key, values in found.items()} for name, found in results.items()
    }
    ours = medians["ours"]
    titles = ["system", "events/s", "ours is", "CPU-s per 100,000", "ours needs", "p50 ms", "p99 ms", "errors"]
    print(f"\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for name, found in medians.items():
        low, high = min(results[name]["events_s"]), max(results[name]["events_s"])
        rate, faster = f"{found['events_s']:,.0f} ({low:,.0f}-{high:,.0f})", ours["events_s"] / found["events_s"]
        print(
            f"| {name} | {rate} | {faster:.1f}x "
            f"| {found['cpu_s_per_100k']:.1f} | {ours['cpu_s_per_100k'] / found['cpu_s_per_100k']:.2f} "
            f"| {found['p50_ms']:,.1f} | {found['p99_ms']:,.1f} | {found['errors']:.0f} |"
        )


if __name__ == "__main__":
    main()
