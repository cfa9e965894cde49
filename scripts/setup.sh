#!/usr/bin/env bash
#:
#: usage: scripts/setup.sh [--browser] [--dev] [--spark35]
#:
#: Brings all that webevents needs on this machine into the checkout: Python packages into .venv,
#: jars into jars/. What the system itself lacks (Java 17, Python's venv) comes from apt-get, as root or
#: by a sudo that asks nothing; without either it says which command to run and ends with exit code 78.
#: Run it again at any time: what is there already is left alone, in about a second and without network.
#:
#:   --browser   also Chromium, which visits the demo's sample site; without it, or the right to install it, the demo
#:               goes on with simulated visitors alone
#:   --dev       also the tools of scripts/test.sh: pytest, ruff, mypy, import-linter, shellcheck, Chromium,
#:               libfaketime
#:   --spark35   also the second Spark lane, PySpark 3.5, in .venv-spark35
#:   -h, --help  this text
#:
#: PYTHON names the interpreter to use (default: python3). pip's and apt's own settings are honoured.
#:
set -euo pipefail
PROGRAM=setup.sh
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

FLAGS=(--browser --dev --spark35 --help)
SPARK35=3.5.7
STATE=$ROOT/.webevents

main() {
  local browser='' dev='' spark35=''
  while (($#)); do
    case $1 in
      --browser) browser=1 ;;
      --dev) dev=1 browser=1 ;;
      --spark35) spark35=1 ;;
      -h | --help) usage && exit 0 ;;
      *) unknown_flag "$1" "${FLAGS[@]}" ;;
    esac
    shift
  done
  cd "$ROOT"
  mkdir -p "$STATE"
  only_one_at_a_time
  install_system_parts
  check_python "$dev"
  use_java
  if [[ -n $browser ]]; then install_browser; fi
  if [[ -n $dev ]]; then install_clock; fi
  if [[ -n $dev ]]; then install_packages .venv 'all,dev'; else install_packages .venv all; fi
  if [[ -n $spark35 ]]; then install_packages .venv-spark35 "$(lane_extras)" "pyspark==$SPARK35"; fi
  fetch_jars spark-4.1 kafka-4.1 ${spark35:+spark-3.5}
}

only_one_at_a_time() {
  command -v flock >/dev/null || return 0
  exec 9>"$STATE/setup.lock"
  flock -n 9 || { say 'waiting for another setup of this checkout' && flock 9; }
}

# --- the system's parts -------------------------------------------------------------------------------------

python() {
  "${PYTHON:-python3}" "$@"
}

install_system_parts() {
  local -a packages=()
  if [[ -z ${PYTHON:-} ]] && ! command -v python3 >/dev/null; then
    packages+=(python3 python3-venv)
  elif ! python -c 'import ensurepip, venv' 2>/dev/null; then
    packages+=(python3-venv)
  fi
  if [[ -z $(find_java) ]]; then packages+=("$(java_package)"); fi
  ((${#packages[@]})) || return 0
  if [[ ! -s /etc/ssl/certs/ca-certificates.crt ]]; then packages+=(ca-certificates); fi
  install_with_apt "${packages[@]}"
}

# The tag is shown and tested in Chromium. Where no package brings it (Ubuntu has it as a snap only), or nobody may
# install it, the demo and the tests go on without.
install_browser() {
  local -a missing=()
  command -v chromium >/dev/null || missing+=(chromium)
  # The program that drives it, of Playwright's wheel, needs this one library of the system.
  [[ $(/sbin/ldconfig -p 2>/dev/null) == *libatomic.so.1* ]] || missing+=(libatomic1)
  ((${#missing[@]} == 0)) || ! apt_has chromium || install_where_allowed "${missing[@]}"
}

# One test sets the clock of a running process.
install_clock() {
  compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || ! apt_has libfaketime || install_where_allowed libfaketime
}

install_where_allowed() {
  if ((EUID == 0)) || sudo -n true 2>/dev/null; then
    install_with_apt "$@"
  else
    say "no $*: 'sudo apt-get install -y $*' brings it"
  fi
}

# Java 17 runs both Spark lanes; releases that have dropped it have a newer one that fits.
java_package() {
  local major
  for ((major = JAVA_MIN; major <= JAVA_MAX; major++)); do
    if apt_has "openjdk-$major-jre-headless"; then
      printf 'openjdk-%s-jre-headless\n' "$major"
      return
    fi
  done
  printf 'openjdk-%s-jre-headless\n' "$JAVA_MIN"
}

apt_has() {
  command -v apt-cache >/dev/null && [[ -n $(apt-cache --quiet=0 madison "$1" 2>/dev/null) ]]
}

install_with_apt() {
  command -v apt-get >/dev/null ||
    die "needs Python 3.10 or newer with venv, and Java $JAVA_MIN to $JAVA_MAX: this system has no apt-get, so install them by hand"
  local -a become=()
  if ((EUID != 0)); then
    become=(sudo -n)
    sudo -n true 2>/dev/null ||
      die "needs $*: run 'sudo apt-get update && sudo apt-get install -y --no-install-recommends $*', then this again"
  fi
  run_shown 'apt: reading the package lists' "${become[@]}" apt-get update
  # Before the first update a fresh system knows no package at all, so the choice of Java is made again.
  local -a packages=("${@/#openjdk-*-jre-headless/$(java_package)}")
  run_shown "apt: installing ${packages[*]}" \
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
  hash -r
}

check_python() {
  local need=10 why='webevents needs'
  if [[ -n $1 ]]; then need=11 why="the tests' tools need"; fi
  python -c "import sys; sys.exit(sys.version_info < (3, $need))" ||
    die "$why Python 3.$need or newer, and $(command -v "${PYTHON:-python3}") is $(python -V 2>&1); PYTHON=/path/to/another names one"
  python -c 'import ensurepip, venv' 2>/dev/null ||
    die "$(command -v "${PYTHON:-python3}") has no venv; PYTHON=/path/to/another names an interpreter that has"
}

# --- Python packages and jars -------------------------------------------------------------------------------

# All extras of the product and its tests but `spark`, which pins the first lane's PySpark.
lane_extras() {
  python - <<'PY'
import ast, pathlib
tree = ast.parse(pathlib.Path("setup.py").read_text(encoding="utf-8"))
extras = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "EXTRAS")
print(",".join(key.value for key in extras.keys if key.value != "spark"))
PY
}

# install_packages FOLDER EXTRAS [REQUIREMENT...]: a stamp of all inputs in the folder says that it was done.
install_packages() {
  local folder=$1 extras=$2 stamp wanted
  shift 2
  if ! "$folder/bin/python" -c '' 2>/dev/null; then
    run_shown "$folder: a new environment of $(python -V 2>&1)" "${PYTHON:-python3}" -m venv --clear "$folder"
  fi
  stamp=$folder/.webevents-${extras//,/-}
  wanted=$(fingerprint "$folder" "$extras" "$@")
  if [[ $(cat "$stamp" 2>/dev/null) == "$wanted" ]]; then return 0; fi
  # Build requirements of packages that come as source are pinned too; by variable, as pip passes only those on.
  PIP_CONSTRAINT=scripts/constraints.txt PIP_BUILD_CONSTRAINT=scripts/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
    run_shown "$folder: Python packages, some minutes the first time (PySpark alone is 450 MB)" \
    "$folder/bin/python" -m pip install --no-input --progress-bar off "$@" -e ".[$extras]"
  printf '%s\n' "$wanted" >"$stamp"
  # The product's packages are among the tests': a later run for the demo alone finds them there.
  if [[ $extras == all,dev ]]; then fingerprint "$folder" all >"$folder/.webevents-all"; fi
}

fingerprint() {
  { cat setup.py scripts/constraints.txt && "$1/bin/python" -V && printf '%s\n' "$ROOT" "$@"; } | cksum
}

fetch_jars() {
  .venv/bin/python jars/fetch.py "$@" >&2
}

# run_shown LABEL COMMAND...: a line when it starts, one each 20 s, and the end of its output only if it fails.
run_shown() {
  local label=$1 log ticker status=0
  shift
  log=$(mktemp "$STATE/setup.XXXXXX.log")
  say "$label"
  tick "$label" &
  ticker=$!
  "$@" >"$log" 2>&1 </dev/null 9>&- || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if ((status)); then
    tail -n 25 "$log" >&2
    die "failed (exit code $status): $(quoted "$@"); its whole output is in $log"
  fi
  rm -f "$log"
}

# Waits by reading a pipe that stays silent: a killed ticker then leaves no `sleep` behind that holds the terminal.
tick() {
  local from=$SECONDS
  exec 9>&- 8<> <(:)
  while ! read -r -t 20 -u 8 && kill -0 "$$" 2>/dev/null; do say "$1: $((SECONDS - from)) s"; done
}

main "$@"
