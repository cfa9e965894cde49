#!/usr/bin/env bash
#:
#: usage: scripts/build.sh [job] [function] [wheel]
#:
#: Builds what is shipped; all three when none is named. Prints the address of each.
#:
#:   job         dist/webevents-VERSION.zip: contract and streaming, for spark-submit --py-files
#:   function    build/loader: the folder for gcloud functions deploy --source
#:   wheel       dist/webevents-VERSION-py3-none-any.whl: everything, with its schemas and DDL
#:   -h, --help  this text
#:
#: job and function need Python only; the wheel needs pip and setuptools, as in .venv. The same sources give the
#: same bytes.
#:
set -euo pipefail
PROGRAM=build.sh
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PARTS=(job function wheel)

main() {
  local word
  for word in "$@"; do
    case $word in
      -h | --help) usage && exit 0 ;;
      job | function | wheel) ;;
      *) die "$word: no such part; did you mean $(nearest "$word" "${PARTS[@]}")?" ;;
    esac
  done
  cd "$ROOT"
  if (($# == 0)); then set -- "${PARTS[@]}"; fi
  for word in "$@"; do "build_$word"; done
}

build_job() {
  "$(any_python)" scripts/pack.py job "dist/webevents-$(product_version).zip"
}

build_function() {
  "$(any_python)" scripts/pack.py function build/loader
}

build_wheel() {
  local sources=build/wheel
  "$(any_python)" scripts/pack.py wheel "$sources" >/dev/null
  # The time stamp of the first moment that a zip can hold: the same sources give the same bytes.
  SOURCE_DATE_EPOCH=315532800 "$(any_python)" -m pip wheel --quiet --no-deps --no-build-isolation \
    --wheel-dir dist "./$sources" >&2
  ls "dist/webevents-$(product_version)-py3-none-any.whl"
}

main "$@"
