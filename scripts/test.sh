#!/usr/bin/env bash
#:
#: usage: scripts/test.sh [--fast | --long] [PYTEST ARGUMENT ...]
#:
#: Sets up what is missing (scripts/setup.sh), then checks format, lint, types, imports and shell scripts, and runs
#: the tests: tests/streaming on PySpark 3.5, and all tests on PySpark 4.1. Every step runs, also after one has
#: failed; the exit code is 1 when any did. Each run of pytest names its slowest tests; at the end are the seconds of
#: each step and pytest's closing line.
#:
#:   --fast      without Spark, servers, slow and long tests, and without the second lane: a minute
#:   --long      the second lane runs all tests too, not only tests/streaming, and the lane of PySpark 4.1 those
#:               marked long: fault tests of many minutes, left out otherwise
#:   -h, --help  this text
#:
#: Further arguments go to pytest's run on PySpark 4.1, e.g. tests/contract -k settings.
#:
set -euo pipefail
PROGRAM=test.sh
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

FLAGS=(--fast --long --help)
SUMMARY=()
FAILED=0
CLOSING=''

main() {
  local mode=whole
  while (($#)); do
    case $1 in
      --fast) mode=fast ;;
      --long) mode=long ;;
      -h | --help) usage && exit 0 ;;
      *) break ;;
    esac
    shift
  done
  refuse_misspelt "${1:-}"
  cd "$ROOT"
  set_up "$mode"
  use_java
  check_statically
  run_tests "$mode" "$@"
  summarize
}

# What is no flag of this script is pytest's, but for a slip of a letter or two.
refuse_misspelt() {
  [[ $1 == --* ]] || return 0
  (($(distance "$1" "$(nearest "$1" "${FLAGS[@]}")") > 2)) || unknown_flag "$1" "${FLAGS[@]}"
}

set_up() {
  local from=$SECONDS
  if [[ $1 == fast ]]; then scripts/setup.sh --dev; else scripts/setup.sh --dev --spark35; fi
  note_step 'set up' 0 "$from"
}

check_statically() {
  local bin=.venv/bin
  run_step 'ruff format' "$bin/ruff" format --check .
  run_step 'ruff check' "$bin/ruff" check .
  run_step 'mypy' "$bin/mypy"
  run_step 'lint-imports' "$bin/lint-imports"
  run_step 'shellcheck' "$bin/shellcheck" --external-sources scripts/*.sh .ci/run
}

run_tests() {
  local mode=$1
  shift
  case $mode in
    fast)
      run_step 'pytest, without Spark' run_pytest .venv -m 'not spark and not stack and not slow and not long' "$@"
      return
      ;;
    long)
      run_step 'pytest, PySpark 3.5' run_pytest .venv-spark35
      # A -m of the command line takes the place of the one in pyproject.toml.
      set -- -m '' "$@"
      ;;
    *) run_step 'pytest, PySpark 3.5' run_pytest .venv-spark35 tests/streaming ;;
  esac
  run_step 'pytest, PySpark 4.1' run_pytest .venv "$@"
}

# run_pytest VENV ARGUMENT...: keeps pytest's last line for the end. The lane's commands come first on the PATH.
run_pytest() {
  local venv=$1 log status=0
  shift
  log=$(mktemp "$ROOT/.webevents/pytest.XXXXXX.log")
  PATH="$ROOT/$venv/bin:$PATH" PYTEST_ADDOPTS="--durations=25 --durations-min=5 ${PYTEST_ADDOPTS:-}" \
    "$venv/bin/python" -m pytest "$@" | tee "$log" || status=$?
  CLOSING=$(tail -n 1 "$log")
  rm -f "$log"
  return "$status"
}

run_step() {
  local name=$1 from=$SECONDS status=0
  shift
  say "$name"
  "$@" || status=$?
  note_step "$name" "$status" "$from"
}

note_step() {
  local word=ok
  if (($2)); then
    word=FAILED
    FAILED=$((FAILED + 1))
  fi
  SUMMARY+=("$(printf '%-24s %-6s %5d s' "$1" "$word" "$((SECONDS - $3))")")
}

summarize() {
  printf '\n%s\n' '== summary'
  printf '%s\n' "${SUMMARY[@]}"
  printf '%-24s %-6s %5d s\n' 'all' "$( ((FAILED)) && echo FAILED || echo ok)" "$SECONDS"
  printf '%s\n' "$CLOSING"
  ((FAILED == 0))
}

main "$@"
