#!/usr/bin/env bash
#:
#: usage: scripts/demo.sh [--input FILE] [--json FILE] [--FLAG VALUE ...]
#:
#: Runs the whole pipeline on this machine, with no account: the collector, Kafka, Spark, a Cloud Storage server, the
#: function and a BigQuery stand-in; visited by a Chromium and by simulated visitors, or from a web server's access
#: log. It ends with readable tables and the line that accounts for every pageview. Whatever is missing is set up
#: first (scripts/setup.sh): some minutes the first time, about a second later.
#:
#:   --open         stay up afterwards: visit the sample site yourself and see your pageviews arrive
#:   --input FILE   a combined access log, plain or .gz, in place of the visitors
#:   --json FILE    also write the figures there
#:
#: All flags go to `webevents demo`, whose own list follows once it is set up.
#:
set -euo pipefail
PROGRAM=demo.sh
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
  -h | --help)
    usage
    if [[ -x $ROOT/.venv/bin/webevents ]]; then exec "$ROOT/.venv/bin/webevents" demo --help; fi
    exit 0
    ;;
esac

# Chromium is a large package, and a log needs no browser.
if [[ " $* " == *" --input"* ]]; then "$ROOT/scripts/setup.sh"; else "$ROOT/scripts/setup.sh" --browser; fi
use_java
exec "$ROOT/.venv/bin/webevents" demo "$@"
