#!/usr/bin/env bash
#:
#: usage: scripts/demo.sh [--input FILE] [--json FILE] [--FLAG VALUE ...]
#:
#: Runs the whole pipeline on this machine, with no account: Kafka, Spark, a Cloud Storage server, the function
#: and a BigQuery stand-in; from a web server's access log, or from simulated visitors. It ends with readable
#: tables and the line that accounts for every pageview. Whatever is missing is set up first (scripts/setup.sh):
#: some minutes the first time, about a second later.
#:
#:   --input FILE   a combined access log, plain or .gz; without it visitors are simulated
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

"$ROOT/scripts/setup.sh"
use_java
exec "$ROOT/.venv/bin/webevents" demo "$@"
