"""The `webevents` command: one line a subcommand; each imports its package when it is called."""

import importlib
import sys
from collections.abc import Sequence

from contract import __version__
from contract.failures import WebeventsError
from contract.settings import nearest

COMMANDS = {
    "up": ("local.commands:up", "start the cloud on this machine"),
    "down": ("local.commands:down", "stop it; leaves no process"),
    "status": ("local.commands:status", "what runs, and at which address"),
    "env": ("local.commands:env", "shell variables that point Google's clients at the local cloud"),
    "demo": ("local.demo:main", "run the whole pipeline here, on a log or on simulated visitors"),
    "prove": ("local.prove:main", "kill parts under load, let it heal, and show that nothing is lost or twice"),
    "collect": ("collector.__main__:main", "take pageviews over HTTP; answer when they are safe"),
    "import-log": ("feeds.access_log:main", "send a web server's access log to the backfill topic"),
    "warehouse": ("warehouse.apply:main", "create or update the dataset, its tables and views"),
    "reconcile": ("warehouse.reconcile:main", "account for every pageview, or exit 1 with the missing ones"),
    "explain": ("warehouse.explain:main", "from a session back to its events, files, load jobs and offsets"),
    "monitor": ("warehouse.monitor.command:main", "which stage is silent, behind or failing, and what to do"),
    "bench": ("local.bench:main", "what a part costs beside its peers, as ratios; from a checkout"),
    "replay": ("warehouse.replay:main", "make a period's sessions again from the archive, and compare"),
    "plan": ("warehouse.plan:main", "what a site of your size needs and costs, with its assumptions"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand. Exit codes: 0 done, 1 it does not hold, 75 try again, 78 a setting is at fault."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(f"webevents {__version__}")
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        print(f"webevents: {name}: no such command; {nearest(name, COMMANDS)}", file=sys.stderr)
        return 78
    return run(name, rest)


def run(name: str, argv: Sequence[str]) -> int:
    """Call the subcommand's main(argv); a failure that the product names becomes its sentence and exit code."""
    module, function = COMMANDS[name][0].split(":")
    try:
        return int(getattr(importlib.import_module(module), function)(argv) or 0)
    except WebeventsError as error:
        print(f"webevents {name}: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(
            f"webevents {name}: needs the Python package of {error.name}; pip install 'webevents[all]'", file=sys.stderr
        )
        return 78
    except KeyboardInterrupt:
        return 130


def overview() -> str:
    """The text of --help."""
    rows = [f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items()]
    head = "usage: webevents COMMAND [--setting value ...]\n\nFirst-party web analytics in your own BigQuery.\n"
    return "\n".join([head, *rows, "", "webevents COMMAND --help lists a command's settings."])


if __name__ == "__main__":
    raise SystemExit(main())
